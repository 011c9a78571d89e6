/**
 * Main module of an isolate under measure, instead of src/isolate/main.ts: runs the first so many phases of an attempt many
 * times over, with the isolate's own code. The CPU of one phase is the difference of two such loops.
 */
import { WorkerEntrypoint } from 'cloudflare:workers'
import type { IsolatePlatform, IsolateRun } from '../../src/contracts/isolate.ts'
import { type ActiveRun, runs } from '../../src/isolate/active-run.ts'
import { Attempt } from '../../src/isolate/attempt.ts'
import { loadBundle, loadCore, registerCatalog, registerManagers } from '../../src/isolate/core.ts'
import { installGlobals } from '../../src/isolate/globals.ts'
import { makeInstance } from '../../src/isolate/instance.ts'
import { Operations } from '../../src/isolate/operations.ts'
import { loadConfig } from '../../src/isolate/project.ts'
import { makeScope } from '../../src/isolate/scope.ts'
import { platformTarget } from '../../src/isolate/scoped-fetch.ts'
import { RunTelemetry } from '../../src/isolate/telemetry.ts'
import { type Phase, phases } from './phases.ts'

installGlobals()

export default class extends WorkerEntrypoint {
  async repeat(input: IsolateRun, platform: IsolatePlatform, upTo: Phase, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      if (upTo === 'execute') await execute(input, platform)
      else await prefix(input, platform, phases.indexOf(upTo))
    }
  }
}

async function execute(input: IsolateRun, platform: IsolatePlatform): Promise<void> {
  const { completion } = await new Attempt(input, platform).execute()
  if (!completion.ok) throw new Error(`The run failed: ${JSON.stringify(completion.error)}`)
}

/** The steps of Attempt in its order, up to one of them. */
async function prefix({ start, taskFile }: IsolateRun, platform: IsolatePlatform, last: number): Promise<void> {
  const reaches = (phase: Phase): boolean => phases.indexOf(phase) <= last
  if (!reaches('scope')) return
  const telemetry = new RunTelemetry(start.traceparent, start.attempt)
  const run: ActiveRun = {
    id: start.runId,
    api: {},
    env: { TRIGGER_MACHINE_ID: 'isolate', ...start.variables },
    operations: new Operations(() => {}),
    telemetry,
    scope: {},
    fail: () => {},
  }
  run.scope = makeScope(run, platformTarget(run.env.TRIGGER_API_URL, platform), { capture: true })
  await runs.run(run, async () => {
    if (!reaches('managers')) return
    const core = await loadCore()
    const catalog = registerCatalog(core)
    registerManagers(core, run)
    core.get('TaskRunContext').parse(start.execution)
    if (!reaches('instance')) return
    const instance = await makeInstance(run)
    if (!reaches('config')) return
    await loadConfig(core, instance, await loadBundle())
    if (!reaches('task file')) return
    catalog.setCurrentFileContext(taskFile.entry, taskFile.out)
    await instance.import(taskFile.out)
  })
  run.operations.close()
}
