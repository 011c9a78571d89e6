#!/usr/bin/env node
/** `npx trigger.do …`: the commands the package brings besides the Worker. */
import { setup } from './setup.ts'
import { transfer } from './transfer.ts'

const [command, ...args] = process.argv.slice(2)
if (command === 'setup') await setup(args, 'npx trigger.do setup')
else if (command === 'export' || command === 'import') await transfer([command, ...args], 'npx trigger.do')
else {
  console.error(`Usage: npx trigger.do setup [--remote URL | --seed URL] [--state DIR] [--email you@example.com]
       npx trigger.do export FILE [--variables]
       npx trigger.do import FILE [--queue-unfinished]`)
  process.exitCode = 1
}
