/**
 * Chooses one of the tunnels that are up, and the same one for as long as it is: what the process does next comes from
 * the same pod.
 * @param tunnels those that are up now
 */
export function stickyTunnel<T>(tunnels: () => readonly T[]): () => T | undefined {
  let chosen: T | undefined;
  return () => {
    const up = tunnels();
    if (chosen === undefined || !up.includes(chosen)) chosen = up[0];
    return chosen;
  };
}
