/** Command line options of the scripts, checked before anything starts. */
import { type ParseArgsConfig, parseArgs } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>

/** As `parseArgs`; what is wrong with the arguments is one sentence and what there is. */
export function readArguments<T extends Options>(
  options: T,
  usage: string,
  args: string[] = process.argv.slice(2),
): ReturnType<typeof parseArgs<{ options: T }>>['values'] {
  try {
    return parseArgs({ args, options }).values
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (!code?.startsWith('ERR_PARSE_ARGS')) throw error
    throw new Error(`${message.split('. ')[0]}.\nUsage: ${usage}`)
  }
}

export function portArgument(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw new Error(`--port ${text}: not a port (1 to 65535)`)
  return port
}

export function projectArgument(ref: string): string {
  if (!/^proj_[a-z0-9]{1,60}$/i.test(ref)) throw new Error(`--project ${ref}: a project ref looks like proj_abcdefghijklmnopqrst`)
  return ref
}
