import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../src/errors.ts';
import { isLogLevel, type LogLevel } from '../src/log.ts';
import {
  AGENT_CONFIG_ENV,
  AGENT_CREDENTIALS_DIR,
  AGENT_LOG_LEVEL_ENV,
  AGENT_NAMESPACE_ENV,
  AGENT_POD_IP_ENV,
  AGENT_POD_NAME_ENV,
  type AgentConfig,
  parseAgentConfig,
} from '../src/protocol/agent-config.ts';
import { parseTunnelKey } from '../src/protocol/handshake.ts';

/** Another folder for the credentials than AGENT_CREDENTIALS_DIR; for runs outside a pod. */
export const CREDENTIALS_DIR_ENV = 'KUBE_INTERCEPT_CREDENTIALS_DIR';

/** The Secret's three values. */
export interface Credentials {
  /** 32 bytes that both ends of a tunnel prove to hold. */
  readonly key: Uint8Array;
  /** PEM. */
  readonly tlsKey: string;
  readonly tlsCert: string;
}

export interface AgentSettings {
  readonly config: AgentConfig;
  readonly podName: string;
  readonly podIp: string;
  readonly namespace: string;
  readonly logLevel: LogLevel;
  readonly credentials: Credentials;
}

/** What keeps the agent from starting; `setting` is the variable or file to look at. */
export class SettingsError extends Error {
  readonly setting: string;

  constructor(setting: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SettingsError';
    this.setting = setting;
  }
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Reads everything the agent needs to start.
 * @throws SettingsError naming the first variable or file that is missing or wrong
 */
export function readSettings(env: Env, readText: (path: string) => string = readTextFile): AgentSettings {
  const config = parseConfig(required(env, AGENT_CONFIG_ENV));
  const logLevel = env[AGENT_LOG_LEVEL_ENV] || 'info';
  if (!isLogLevel(logLevel)) throw new SettingsError(AGENT_LOG_LEVEL_ENV, `no log level: ${logLevel}`);
  const dir = env[CREDENTIALS_DIR_ENV] || AGENT_CREDENTIALS_DIR;
  return {
    config,
    podName: required(env, AGENT_POD_NAME_ENV),
    podIp: required(env, AGENT_POD_IP_ENV),
    namespace: env[AGENT_NAMESPACE_ENV] ?? '',
    logLevel,
    credentials: {
      key: parseKey(join(dir, 'key'), readCredential(dir, 'key', readText)),
      tlsKey: readCredential(dir, 'tls.key', readText),
      tlsCert: readCredential(dir, 'tls.crt', readText),
    },
  };
}

function required(env: Env, name: string): string {
  const value = env[name];
  if (!value) throw new SettingsError(name, 'is not set');
  return value;
}

function parseConfig(text: string): AgentConfig {
  let config: AgentConfig;
  try {
    config = parseAgentConfig(text);
  } catch (cause) {
    throw new SettingsError(AGENT_CONFIG_ENV, errorText(cause), { cause });
  }
  if (new Set(config.routes.map(({ protocol, appPort }) => `${protocol} ${appPort}`)).size !== config.routes.length)
    throw new SettingsError(AGENT_CONFIG_ENV, 'an app port has two routes');
  return config;
}

function readCredential(dir: string, name: string, readText: (path: string) => string): string {
  const path = join(dir, name);
  let text: string;
  try {
    text = readText(path);
  } catch (cause) {
    throw new SettingsError(path, errorText(cause), { cause });
  }
  if (text.trim() === '') throw new SettingsError(path, 'is empty');
  return text;
}

function parseKey(path: string, text: string): Uint8Array {
  try {
    return parseTunnelKey(text);
  } catch (cause) {
    throw new SettingsError(path, errorText(cause), { cause });
  }
}

function readTextFile(path: string): string {
  return readFileSync(path, 'utf8');
}
