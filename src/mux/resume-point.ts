/** Where two ends go on behind a handshake: messages received, as each told the other in it. */
export interface ResumePoint {
  /** By this side. */
  readonly received: number;
  readonly peerReceived: number;
}

/** A tunnel begins here. */
export const BEGINNING: ResumePoint = { received: 0, peerReceived: 0 };
