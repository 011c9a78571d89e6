import { envvars } from '@trigger.dev/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { endpoints, http, plain, runTask, useProject } from './harness.ts'

beforeAll(() => useProject(plain))

describe('environment variables', () => {
  it('are created, read by runs, changed and deleted', async () => {
    await envvars.create(plain.ref, 'prod', { name: 'COMPAT_ONE', value: 'first' })
    expect((await envvars.retrieve(plain.ref, 'prod', 'COMPAT_ONE')).value).toBe('first')
    expect((await runTask('reads-env', { name: 'COMPAT_ONE' })).output).toMatchObject({ value: 'first' })
    const path = `/api/v1/projects/${plain.ref}/envvars/prod/COMPAT_ONE`
    expect((await http('PUT', path, { value: 'second' })).body).toEqual({ success: true })
    expect((await runTask('reads-env', { name: 'COMPAT_ONE' })).output).toMatchObject({ value: 'second' })
    await envvars.del(plain.ref, 'prod', 'COMPAT_ONE')
    await expect(envvars.retrieve(plain.ref, 'prod', 'COMPAT_ONE')).rejects.toMatchObject({ status: 404 })
    expect((await runTask('reads-env', { name: 'COMPAT_ONE' })).output).toMatchObject({ value: null })
  })

  it('are imported together and listed', async () => {
    await envvars.upload(plain.ref, 'prod', { variables: { COMPAT_A: '1', COMPAT_B: '2' }, override: true })
    const names = (await envvars.list(plain.ref, 'prod')).map((variable) => variable.name)
    expect(names).toEqual(expect.arrayContaining(['COMPAT_A', 'COMPAT_B']))
  })

  it('are hidden when secret, but not from runs', async () => {
    await envvars.create(plain.ref, 'prod', { name: 'COMPAT_SECRET', value: 'hush', isSecret: true } as never)
    expect((await envvars.retrieve(plain.ref, 'prod', 'COMPAT_SECRET')).value).toBe('<redacted>')
    expect((await runTask('reads-env', { name: 'COMPAT_SECRET' })).output).toMatchObject({ value: 'hush' })
  })

  it('tell a run where its platform is', async () => {
    expect((await runTask('reads-env', { name: 'TRIGGER_SECRET_KEY' })).output).toMatchObject({ apiUrl: endpoints.apiUrl })
  })

  it('of another project are refused', async () => {
    expect((await http('GET', `/api/v1/projects/${endpoints.projectRef}/envvars/prod`)).status).toBeGreaterThanOrEqual(400)
  })
})
