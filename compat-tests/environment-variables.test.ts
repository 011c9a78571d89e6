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

  it('that exist are replaced only when asked, all or none', async () => {
    await envvars.upload(plain.ref, 'prod', { variables: { COMPAT_KEEP: 'old' }, override: true })
    const path = `/api/v1/projects/${plain.ref}/envvars/prod/import`
    expect(await http('POST', path, { variables: { COMPAT_KEEP: 'new', COMPAT_FRESH: '1' } })).toMatchObject({
      status: 400,
      body: { variableErrors: [{ key: 'COMPAT_KEEP', error: expect.any(String) }] },
    })
    const names = async (): Promise<string[]> => (await envvars.list(plain.ref, 'prod')).map((variable) => variable.name)
    expect(await names()).not.toContain('COMPAT_FRESH')
    expect((await envvars.retrieve(plain.ref, 'prod', 'COMPAT_KEEP')).value).toBe('old')
    expect((await http('POST', path, { variables: { COMPAT_FRESH: '1' } })).body).toEqual({ success: true })
    expect(await names()).toContain('COMPAT_FRESH')
  })

  it('must have a name and a value; those of the platform are passed over', async () => {
    const path = `/api/v1/projects/${plain.ref}/envvars/prod`
    for (const body of [
      { name: 'NOT-A-NAME', value: '1' },
      { name: 'COMPAT_BLANK', value: ' ' },
      { name: 'TRIGGER_API_URL', value: 'http://elsewhere' },
      { name: 'COMPAT_NO_VALUE' },
    ])
      expect((await http('POST', path, body)).status, body.name).toBe(400)
    expect((await http('PUT', `${path}/COMPAT_UNKNOWN`, { value: '1' })).body).toEqual({
      error: 'Environment variable not found',
    })
    expect((await http('DELETE', `${path}/COMPAT_UNKNOWN`)).status).toBe(404)
    expect((await http('GET', `/api/v1/projects/${plain.ref}/envvars/nowhere`)).status).toBe(404)
    expect((await http('GET', `/api/v1/projects/${plain.ref}/envvars/staging`)).status).toBe(400)
  })

  it('are taken from a .env file', async () => {
    const form = new FormData()
    form.append('variables', new Blob(['# a note\nCOMPAT_FILE="from a file"\nexport COMPAT_FILE_TWO=2\n']), '.env')
    form.append('override', 'true')
    const path = `${endpoints.apiUrl}/api/v1/projects/${plain.ref}/envvars/prod/import`
    const headers = { authorization: `Bearer ${plain.secretKey}` }
    expect((await fetch(path, { method: 'POST', headers, body: form })).status).toBe(200)
    expect((await envvars.retrieve(plain.ref, 'prod', 'COMPAT_FILE')).value).toBe('from a file')
    expect((await envvars.retrieve(plain.ref, 'prod', 'COMPAT_FILE_TWO')).value).toBe('2')
  })

  it('of a branch come before those of its parent, which an import may set too', async () => {
    const pat = { authorization: `Bearer ${endpoints.accessToken}` }
    const base = `/api/v1/projects/${plain.ref}`
    for (const branch of ['one', 'two'])
      expect((await http('POST', `${base}/branches`, { branch, env: 'preview' }, pat)).status).toBe(200)
    const { apiKey } = (await http('GET', `${base}/preview`, undefined, pat)).body as { apiKey: string }
    const key = (branch?: string): Record<string, string> => ({
      authorization: `Bearer ${apiKey}`,
      ...(branch ? { 'x-trigger-branch': branch } : {}),
    })
    const sent = { variables: { ONLY: 'one', BOTH: 'branch' }, parentVariables: { BOTH: 'parent', ALL: 'yes' }, override: true }
    expect((await http('POST', `${base}/envvars/preview/import`, sent, key('one'))).body).toEqual({ success: true })
    const values = async (branch?: string): Promise<Record<string, string>> => {
      const { body } = await http('GET', `${base}/envvars/preview`, undefined, key(branch))
      return Object.fromEntries((body as { name: string; value: string }[]).map(({ name, value }) => [name, value]))
    }
    expect(await values('one')).toEqual({ ONLY: 'one', BOTH: 'branch', ALL: 'yes' })
    expect(await values('two')).toEqual({ BOTH: 'parent', ALL: 'yes' })
    expect(await values()).toEqual({ BOTH: 'parent', ALL: 'yes' })
    const worker = await http('GET', `${base}/envvars`, undefined, key('one'))
    expect(worker.body.variables).toMatchObject({ ONLY: 'one', ALL: 'yes', TRIGGER_PREVIEW_BRANCH: 'one' })
    // Production keys and prod take no part in it, and parents of what has none are passed over.
    const flat = { variables: { COMPAT_FLAT: '1' }, parentVariables: { COMPAT_NOBODY: '1' }, override: true }
    expect((await http('POST', `${base}/envvars/prod/import`, flat)).status).toBe(200)
    expect((await http('GET', `${base}/envvars/prod/COMPAT_NOBODY`)).status).toBe(404)
  })

  it('of another project are refused', async () => {
    const path = `/api/v1/projects/${endpoints.projectRef}/envvars/prod`
    expect((await http('GET', path)).status).toBe(400)
    expect((await http('POST', path, { name: 'COMPAT_FOREIGN', value: '1' })).status).toBe(400)
  })
})
