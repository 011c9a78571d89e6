/**
 * What the process of one run on a Node host shows: environment, key epoch and run under a MAC. It is given as the id of the
 * deployment, because that is what the run controller sends along with each call; it may start and end this run and nothing else.
 */
import { hmac, sameText, subKey, toHex } from './crypto.ts'

const macLength = 32

export interface RunnerGrant {
  locator: string
  keyEpoch: number
  runId: string
}

export async function mintRunnerToken(root: string, { locator, keyEpoch, runId }: RunnerGrant): Promise<string> {
  const body = `${locator}.${keyEpoch}.${runId}`
  return `${body}.${await macOf(root, body)}`
}

export async function readRunnerToken(root: string, token: string): Promise<RunnerGrant | undefined> {
  const match = /^(([0-9a-v]{6})\.(\d{1,9})\.(run_[0-9a-v]{26}))\.([0-9a-f]+)$/.exec(token)
  if (!match) return undefined
  const [, body, locator, epoch, runId, mac] = match as unknown as [string, string, string, string, string, string]
  return sameText(mac, await macOf(root, body)) ? { locator, keyEpoch: Number(epoch), runId } : undefined
}

async function macOf(root: string, body: string): Promise<string> {
  return toHex(await hmac(await subKey(root, 'runner'), body)).slice(0, macLength)
}
