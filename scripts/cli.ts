#!/usr/bin/env node
/** `npx trigger.do …`: the commands the package brings besides the Worker. */
import { nodeHost } from './node-host.ts'
import { setup } from './setup.ts'
import { transfer } from './transfer.ts'

const [command, ...args] = process.argv.slice(2)
if (command === 'setup') await setup(args, 'npx trigger.do setup')
else if (command === 'node-host') await nodeHost(args, 'npx trigger.do node-host').catch(endWithSentence)
else if (command === 'export' || command === 'import') await transfer([command, ...args], 'npx trigger.do')
else {
  console.error(`Usage: npx trigger.do setup [--remote URL | --seed URL] [--state DIR] [--email you@example.com]
       npx trigger.do export FILE [--variables]
       npx trigger.do import FILE [--queue-unfinished]
       npx trigger.do node-host [--concurrency 4] [--memory MB] [--grace 30] [--state DIR] [--verbose]`)
  process.exitCode = 1
}

function endWithSentence(error: Error): never {
  console.error(error.message)
  process.exit(1)
}
