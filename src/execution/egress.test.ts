import { describe, expect, it } from 'vitest'
import { allowsPrivate, isPrivateLiteral, refuseTarget, splitAddress } from './egress.ts'

const closed = { allowPrivate: false, platformPorts: [] }
const open = { allowPrivate: true, platformPorts: [] }

describe('egress policy', () => {
  it.each([
    '127.0.0.1',
    '2130706433',
    '0x7f.1',
    '017700000001',
    '127.1',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '0.0.0.0',
    '0',
    'localhost',
    'LOCALHOST',
    'localhost.',
    'a.localhost',
    '::',
    '::1',
    '[::1]',
    '0:0:0:0:0:0:0:1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:0:127.0.0.1',
    '::127.0.0.1',
    '64:ff9b::10.0.0.1',
    '2002:7f00:1::',
    '2002:c0a8:101::1',
    'fd00::1',
    'fc00::1',
    'fe80::1',
    'fec0::1',
    'ff02::1',
  ])('refuses the private %s unless private addresses are allowed', (host) => {
    expect(isPrivateLiteral(host)).toBe(true)
    expect(refuseTarget(host, 80, closed)).toContain('private')
    expect(refuseTarget(host, 80, open)).toBeUndefined()
  })

  it.each([
    'example.com',
    '8.8.8.8',
    '172.32.0.1',
    '2606:4700::1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    'localhost.example.com',
    '2002:808:808::1',
  ])('allows the public %s', (host) => expect(refuseTarget(host, 80, closed)).toBeUndefined())

  it.each([
    '169.254.169.254',
    '2852039166',
    '0xa9fea9fe',
    '169.254.170.2',
    '::ffff:169.254.169.254',
    '64:ff9b::169.254.169.254',
    'fd00:ec2::254',
    'fd00:0ec2:0:0::254',
    'metadata.google.internal',
    'Metadata.Google.Internal.',
    '100.100.100.200',
    '168.63.129.16',
  ])('never reaches the metadata service %s', (host) => {
    for (const policy of [open, closed]) expect(refuseTarget(host, 80, policy)).toContain('metadata')
  })

  it('keeps the platform out of reach even when private addresses are allowed', () => {
    const policy = { allowPrivate: true, platformPorts: [8787], platformOrigin: 'https://platform.example' }
    expect(refuseTarget('127.0.0.1', 8787, policy)).toContain('8787')
    expect(refuseTarget('other.example', 8787, policy)).toContain('8787')
    expect(refuseTarget('Platform.example.', 443, policy)).toContain('is the platform')
    expect(refuseTarget('platform.example', 5432, policy)).toBeUndefined()
    expect(refuseTarget('127.0.0.1', 5432, policy)).toBeUndefined()
  })

  it.each(['', 'a b', 'user@10.0.0.1', '10.0.0.1/x', '1.2.3.4:80'])('refuses "%s", which is no host', (host) => {
    expect(refuseTarget(host, 80, open)).toContain('not a host name')
  })

  it('lets a setting name the environments that reach private addresses', () => {
    expect([undefined, 'false', 'true', 'dev,staging', 'prod', ''].map((setting) => allowsPrivate(setting, 'stg'))).toEqual([
      false,
      false,
      true,
      true,
      false,
      false,
    ])
  })

  it('splits socket addresses', () => {
    expect(splitAddress('[::1]:5432')).toEqual({ hostname: '::1', port: 5432 })
    expect(splitAddress('db.local:5432')).toEqual({ hostname: 'db.local', port: 5432 })
  })
})
