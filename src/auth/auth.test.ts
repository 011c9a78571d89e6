import { describe, expect, it } from 'vitest'
import { locatorOf, locatorOfEnvironment, mintEnvironmentId, mintId, partitionOf, timeOf } from '../contracts/ids.ts'
import { cleanPacketPath } from '../contracts/packets.ts'
import { decrypt, encrypt, sameText } from './crypto.ts'
import { signPublicToken, verifyPublicToken } from './jwt.ts'
import { mintSecretKey, readSecretKey } from './keys.ts'
import { allows } from './scopes.ts'

const root = 'f'.repeat(64)

describe('ids', () => {
  it('name their home and sort by time', () => {
    const early = mintId('run', 'abc123', '0', 1_700_000_000_000)
    const late = mintId('run', 'abc123', '0', 1_700_000_000_001)
    expect(early).toMatch(/^run_[0-9a-v]{26}$/)
    expect([locatorOf(early), partitionOf(early), timeOf(early)]).toEqual(['abc123', '0', 1_700_000_000_000])
    expect(early < late).toBe(true)
    expect(locatorOf('run_short')).toBeUndefined()
    expect(locatorOfEnvironment(mintEnvironmentId('abc123'))).toBe('abc123')
  })
})

describe('keys', () => {
  it('carry their locator and refuse any change', async () => {
    const key = await mintSecretKey(root, 'stg', 'abc123')
    expect(key).toMatch(/^tr_stg_[0-9a-v]{24}$/)
    expect(await readSecretKey(root, key)).toEqual({ slug: 'stg', locator: 'abc123' })
    expect(await readSecretKey(root, key.replace('tr_stg_', 'tr_prod_'))).toBeUndefined()
    expect(await readSecretKey('other', key)).toBeUndefined()
    expect(await decrypt(root, 'x', await encrypt(root, 'x', key))).toBe(key)
    expect([sameText('a', 'a'), sameText('a', 'b'), sameText('', 'a'), sameText('a', '')]).toEqual([true, false, false, false])
  })
})

describe('public tokens', () => {
  it('verify with any key in grace, until they expire', async () => {
    const now = Date.now()
    const token = await signPublicToken('tr_prod_old', { sub: 'e', pub: true, scopes: ['read:runs'] }, 60, now)
    expect(await verifyPublicToken(token, ['tr_prod_new', 'tr_prod_old'], now)).toMatchObject({ sub: 'e', scopes: ['read:runs'] })
    expect(await verifyPublicToken(token, ['tr_prod_new'], now)).toBeUndefined()
    expect(await verifyPublicToken(token, ['tr_prod_old'], now + 61_000)).toBeUndefined()
  })
  it('grant by action, type and id', () => {
    expect(allows(['write:tasks:a:b'], { action: 'trigger', type: 'tasks', id: 'a:b' })).toBe(true)
    expect(allows(['read:runs'], { action: 'read', type: 'runs', id: 'x' })).toBe(true)
    expect(allows(['read:runs:x'], { action: 'read', type: 'runs' })).toBe(false)
    expect(allows(['admin:x'], { action: 'read', type: 'runs' })).toBe(false)
    expect(allows(['admin'], { action: 'read', type: 'runs' })).toBe(true)
    expect(allows(['write:runs'], { action: 'read', type: 'runs' })).toBe(false)
  })
})

describe('packet paths', () => {
  it('stay inside their folder', () => {
    expect(cleanPacketPath('trigger/p/payload.json')).toBe('trigger/p/payload.json')
    for (const bad of ['', '/a', 'a//b', '../a', 'a/..', 'a\\b', 'a/%2e%2e/b', 'a%2Fb'])
      expect(cleanPacketPath(bad)).toBeUndefined()
  })
})
