import { describe, expect, it } from 'vitest'
import { classifyTasks, machineWarning } from './classify.ts'
import { linkBundle } from './link.ts'
import { makeBundle } from './sample-bundle.fixture.ts'

async function classify(sources: Record<string, string>, external: string[] = []) {
  const files = await makeBundle({ sources, external })
  return classifyTasks(files, linkBundle(files, 'x').linked)
}

describe('classifyTasks', () => {
  it('sends a task to a Node host for a package that is not in the upload', async () => {
    const placement = await classify(
      {
        'src/trigger/image.ts': `import sharp from 'sharp'\nexport const image = () => sharp()`,
        'src/trigger/plain.ts': `export const plain = 1`,
      },
      ['sharp', 'other'],
    )
    expect(placement.hosts).toMatchObject({ 'src/trigger/image.ts': 'node', 'src/trigger/plain.ts': 'isolate' })
    expect(placement.refusals[0]).toMatchObject({ file: 'src/trigger/image.ts', import: 'sharp' })
    expect(placement.warnings.join()).toContain('"other" is external')
  })

  it('sees imports through a library the task uses', async () => {
    const placement = await classify(
      {
        'src/lib/db.ts': `export { default } from 'better-sqlite3'`,
        'src/trigger/a.ts': `import db from '../lib/db'\nexport const a = () => db`,
      },
      ['better-sqlite3'],
    )
    expect(placement.hosts['src/trigger/a.ts']).toBe('node')
  })

  it('sends a task to a Node host for a bundled package that drives a native program', async () => {
    const placement = await classify({
      'node_modules/fluent-ffmpeg/package.json': '{"name":"fluent-ffmpeg","type":"module","main":"index.js"}',
      'node_modules/fluent-ffmpeg/index.js': `import { spawn } from 'node:child_process'\nexport default () => spawn('ffmpeg')`,
      'node_modules/puppeteer/package.json': '{"name":"puppeteer","type":"module","main":"index.js"}',
      'node_modules/puppeteer/index.js': `import core from 'puppeteer-core'\nexport default { launch: () => core.launch() }`,
      'node_modules/puppeteer-core/package.json': '{"name":"puppeteer-core","type":"module","main":"index.js"}',
      'node_modules/puppeteer-core/index.js': `export default { launch: () => {} }`,
      'src/lib/task.ts': `export const task = (options: { id: string }) => options`,
      'src/trigger/video.ts': `import ffmpeg from 'fluent-ffmpeg'\nimport { task } from '../lib/task'
        export const video = task({ id: 'cut-video', run: () => ffmpeg() })\nexport const audio = task({ id: 'cut-audio' })`,
      'src/trigger/page.ts': `import puppeteer from 'puppeteer'\nexport const page = () => puppeteer.launch()`,
    })
    expect(placement.refusals).toEqual([
      expect.objectContaining({ file: 'src/trigger/video.ts', import: 'fluent-ffmpeg' }),
      expect.objectContaining({ file: 'src/trigger/page.ts', import: 'puppeteer' }),
    ])
    expect(placement.refusals[0]?.sentence).toMatch(
      /^Task "cut-video", "cut-audio" \(src\/trigger\/video\.ts\) imports "fluent-ffmpeg"/,
    )
    expect(placement.refusals[1]?.sentence).toMatch(/^src\/trigger\/page\.ts imports "puppeteer", which needs a native program/)
  })

  it('tells own code from a package when a builtin is imported', async () => {
    const placement = await classify({
      'node_modules/runner/package.json': '{"name":"runner","type":"module","main":"index.js"}',
      'node_modules/runner/index.js': `import { spawn } from 'node:child_process'\nexport const go = () => spawn('x')`,
      'src/trigger/own.ts': `import { execSync } from 'child_process'\nexport const own = () => execSync('ls')`,
      'src/trigger/reached.ts': `import { go } from 'runner'\nexport const reached = () => go()`,
    })
    expect(placement.hosts).toMatchObject({ 'src/trigger/own.ts': 'node', 'src/trigger/reached.ts': 'isolate' })
    expect(placement.warnings.join()).toContain('reaches a package that imports "child_process"')
  })

  it('warns about machines an isolate cannot be', () => {
    expect(machineWarning('t', 'small-1x')).toBeUndefined()
    expect(machineWarning('t', 'large-1x')).toContain('128 MB')
  })
})
