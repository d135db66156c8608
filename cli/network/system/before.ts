/**
 * The laptop's own nameservers, also while system mode stands in front of them. `address` or `address#port` as
 * dns.setServers() takes them.
 */
export async function laptopServers(): Promise<readonly string[]> {
  return [];
}

/** Undoes what a killed session left on this laptop. @returns what was undone, for the user; none when there was nothing */
export async function undoLeftovers(): Promise<readonly string[]> {
  return [];
}
