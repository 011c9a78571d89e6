/** Global set-up: one platform for the whole suite, with every fixture deployed by the real CLI. */
import type { TestProject } from 'vitest/node'
import type { Endpoints, Project } from './cli.ts'
import { deployFixture, startPlatform } from './platform-process.ts'
import { startStandIn } from './stand-in.ts'

declare module 'vitest' {
  interface ProvidedContext {
    endpoints: Endpoints
    plain: Project
    sdk407: Project
    libraries: Project
    standIn: string
    /** The token of somebody who owns none of the fixtures. */
    stranger: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const platform = await startPlatform()
  const standIn = await startStandIn()
  const teardown = async (): Promise<void> => {
    await standIn.close()
    await platform.stop()
  }
  try {
    project.provide('endpoints', platform.endpoints)
    project.provide('standIn', standIn.url)
    project.provide('stranger', await platform.addUser('stranger@example.com'))
    for (const name of ['plain', 'sdk407', 'libraries'] as const) project.provide(name, await deployFixture(platform, name))
  } catch (error) {
    await teardown()
    throw error
  }
  return teardown
}
