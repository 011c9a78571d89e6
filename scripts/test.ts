/**
 * `npm test`: every check, then one line with the sum. A check that is not a test suite counts as one. Scenarios run beside each other on
 * few cores: a file that fails there is run once more by itself, which is said, and that result counts.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './local-host.ts'

interface Report {
  numPassedTests: number
  numFailedTests: number
  numFailedTestSuites: number
  success: boolean
  testResults: { name: string; status: 'passed' | 'failed' }[]
}

/** More than these, and it is not the machine. */
const mostAgain = 3

const folder = mkdtempSync(join(tmpdir(), 'trigger-do-tests-'))
let passed = 0
let failed = 0

function bin(path: string): string {
  return join(root, 'node_modules', path)
}

function run(args: string[]): number {
  return spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status ?? 1
}

function check(name: string, args: string[]): void {
  console.log(`\n== ${name}`)
  if (run(args) === 0) passed++
  else failed++
}

function suite(name: string, args: string[], { again = false } = {}): void {
  const { code, report } = runSuite(name, args)
  passed += report?.numPassedTests ?? 0
  // A file that does not load, or a runner that ends badly, has no failed test of its own.
  const failures = report?.numFailedTests || (code === 0 ? 0 : 1)
  const files = (report?.testResults ?? []).filter(({ status }) => status === 'failed').map(({ name: path }) => path)
  if (!again || files.length === 0 || files.length > mostAgain) {
    failed += failures
    return
  }
  const names = files.map((path) => path.slice(path.lastIndexOf('/') + 1)).join(', ')
  console.log(`\n== failed beside others, run once more alone: ${names}`)
  const second = runSuite(`${name}-again`, [...args, ...files])
  if (second.code === 0) passed += failures
  else failed += second.report?.numFailedTests || 1
}

function runSuite(name: string, args: string[]): { code: number; report: Report | undefined } {
  console.log(`\n== tests: ${name}`)
  const file = join(folder, `${name}.json`)
  const code = run([
    bin('vitest/vitest.mjs'),
    'run',
    ...args,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
  ])
  return { code, report: existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : undefined }
}

try {
  check('build', ['scripts/build-isolate.ts'])
  check('lint', [bin('@biomejs/biome/bin/biome'), 'check', '.'])
  check('types', [bin('typescript/bin/tsc'), '--noEmit'])
  check('OpenAPI document is current', ['scripts/openapi.ts', '--check'])
  // Side by side: one waits while the other computes.
  suite('units', ['--project', 'node', '--project', 'workerd'])
  suite('compat', ['--config', 'compat-tests/vitest.config.ts'], { again: true })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
