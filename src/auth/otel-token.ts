/**
 * The exporter of a run's process sends no credential, so the address it is given carries one: environment and key epoch under a
 * MAC. It lets in telemetry for that environment's runs and nothing else (design §5).
 */
import { hmac, sameText, subKey, toHex } from './crypto.ts'

const macLength = 32

export async function mintOtelToken(root: string, environment: { locator: string; keyEpoch: number }): Promise<string> {
  const body = `${environment.locator}.${environment.keyEpoch}`
  return `${body}.${await macOf(root, body)}`
}

export async function readOtelToken(root: string, token: string): Promise<{ locator: string; keyEpoch: number } | undefined> {
  const match = /^(([0-9a-v]{6})\.(\d{1,9}))\.([0-9a-f]+)$/.exec(token)
  if (!match) return undefined
  const [, body, locator, epoch, mac] = match as unknown as [string, string, string, string, string]
  return sameText(mac, await macOf(root, body)) ? { locator, keyEpoch: Number(epoch) } : undefined
}

async function macOf(root: string, body: string): Promise<string> {
  return toHex(await hmac(await subKey(root, 'otel'), body)).slice(0, macLength)
}
