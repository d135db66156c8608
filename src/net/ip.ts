/** What node:net knows of addresses, for folders that have rules about them and may not open sockets. */
export { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
