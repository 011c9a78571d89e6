import { describe, expect, it } from 'vitest'
import { isPrivateLiteral, refuseTarget, splitAddress } from './egress.ts'

const hostOf = (url: string): string => new URL(url).hostname

describe('egress policy', () => {
  it.each([
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://017700000001/',
    'http://10.1.2.3/',
    'http://172.16.0.1/',
    'http://192.168.1.1/',
    'http://169.254.169.254/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[fd00::1]/',
    'http://[fe80::1]/',
    'http://localhost/',
    'http://a.localhost/',
    'http://0.0.0.0/',
    'http://100.64.0.1/',
  ])('refuses %s', (url) => {
    expect(isPrivateLiteral(hostOf(url))).toBe(true)
    expect(refuseTarget(hostOf(url), 80, { allowPrivate: false, platformPorts: [] })).toBeTruthy()
  })

  it.each(['http://example.com/', 'http://8.8.8.8/', 'http://172.32.0.1/', 'http://[2606:4700::1]/'])('allows %s', (url) => {
    expect(refuseTarget(hostOf(url), 80, { allowPrivate: false, platformPorts: [] })).toBeUndefined()
  })

  it('keeps the platform port and metadata out of reach even when private addresses are allowed', () => {
    const policy = { allowPrivate: true, platformPorts: [8787] }
    expect(refuseTarget('127.0.0.1', 8787, policy)).toContain('8787')
    expect(refuseTarget('169.254.169.254', 80, policy)).toContain('metadata')
    expect(refuseTarget('127.0.0.1', 5432, policy)).toBeUndefined()
  })

  it('splits socket addresses', () => {
    expect(splitAddress('[::1]:5432')).toEqual({ hostname: '::1', port: 5432 })
    expect(splitAddress('db.local:5432')).toEqual({ hostname: 'db.local', port: 5432 })
  })
})
