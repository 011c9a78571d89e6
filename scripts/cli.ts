#!/usr/bin/env node
/** `npx trigger.do setup …`: the one command the package brings besides the Worker. */
import { setup } from './setup.ts'

const [command, ...args] = process.argv.slice(2)
if (command === 'setup') await setup(args, 'npx trigger.do setup')
else {
  console.error('Usage: npx trigger.do setup [--remote URL | --seed URL] [--state DIR] [--email you@example.com]')
  process.exitCode = 1
}
