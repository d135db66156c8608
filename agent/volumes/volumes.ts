import type { ControlMethods } from '../../src/protocol/control.ts';
import { listVolumes } from './list.ts';
import { POD_VOLUME_PLACES, readVolumeRoots, type VolumePlaces } from './roots.ts';
import { VolumeWatcher } from './watch.ts';

type Files = ControlMethods['files'];

/** Lists the app's volumes for one session, and watches them while it wants. */
export class SessionVolumes {
  readonly #places: VolumePlaces;
  readonly #onChange: () => void;
  readonly #pollMs: number | undefined;
  #watcher: VolumeWatcher | undefined;
  #closed = false;

  constructor(onChange: () => void, places = POD_VOLUME_PLACES, pollMs?: number) {
    this.#places = places;
    this.#onChange = onChange;
    this.#pollMs = pollMs;
  }

  /** @throws RequestFailure FILES_LIMIT; what was watched goes on being watched then */
  async files({ exclude, maxFiles, maxBytes, watch }: Files['params']): Promise<Files['result']> {
    const list = async () => {
      const roots = await readVolumeRoots(this.#places);
      return { roots, ...(await listVolumes(roots, { exclude, maxFiles, maxBytes })) };
    };
    const listing = await list();
    if (watch && !this.#closed) {
      this.#watcher?.close();
      this.#watcher = new VolumeWatcher(listing, {
        list,
        onChange: this.#onChange,
        ...(this.#pollMs === undefined ? {} : { pollMs: this.#pollMs }),
      });
    }
    const { roots, files, unreadable } = listing;
    return { roots: roots.map(({ path }) => path), files, unreadable };
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
  }
}
