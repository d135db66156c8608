import { isIP } from 'node:net';

/** Where connections are left alone: the laptop's loopback. */
export function isLoopback(address: string): boolean {
  return /^(?:127\.|0\.0\.0\.0$|::1$|::$|::ffff:127\.|::ffff:7f)/i.test(address);
}

export function isLocalName(name: string): boolean {
  return /^(?:.+\.)?localhost\.?$/i.test(name) || isIP(name.replace(/%.*$/, '')) !== 0;
}
