import type { ServiceDefinition } from '@grpc/grpc-js';

export const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;

const SERVICE = 'test.Protocols';
const same = (value: Buffer): Buffer => value;
const method = (name: string, requestStream: boolean, responseStream: boolean): ServiceDefinition[string] => ({
  path: `/${SERVICE}/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

/** Every kind of call; messages are bytes, whatever they mean. */
export const GRPC_SERVICE = {
  unary: method('unary', false, false),
  fail: method('fail', false, false),
  bidi: method('bidi', true, true),
  hang: method('hang', true, true),
  download: method('download', false, true),
  upload: method('upload', true, false),
} satisfies ServiceDefinition;
