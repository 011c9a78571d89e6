/** A tool for agents, as a user of `trigger.do/mcp` writes it. */
import { type Arguments, type Parameters, parameterTypes, problemsOf, schemaOf } from './parameters.ts'

export interface ToolDefinition<P extends Parameters> {
  /** Letters, digits, `_` and `-`; at most 64. Agents call it by this name. */
  name: string
  /** What it is for, for the agent that chooses. */
  description: string
  parameters: P
  /** What it answers becomes the text the agent reads. An error becomes a tool error with its message. */
  execute(args: Arguments<P>): unknown
}

export interface DefinedTool<P extends Parameters = Parameters> extends ToolDefinition<P> {
  /** JSON schema of the arguments. */
  readonly inputSchema: Record<string, unknown>
  /** Checks the arguments of an agent and executes; throws a TypeError that names what does not fit. */
  call(args: Record<string, unknown>): Promise<unknown>
}

/**
 * Defines a tool. Mistakes in the definition are thrown here, not when an agent comes.
 *
 * @example
 * export const cancelTask = defineTool({
 *   name: 'cancel_task',
 *   description: 'Cancel a run',
 *   parameters: { runId: { type: 'string', description: 'The run' } },
 *   execute: async ({ runId }) => trigger.runs.cancel(runId),
 * })
 */
export function defineTool<const P extends Parameters>(definition: ToolDefinition<P>): DefinedTool<P> {
  const { name, description, parameters, execute } = definition
  if (typeof name !== 'string' || !/^[\w-]{1,64}$/.test(name))
    throw new TypeError(`The name of a tool has 1 to 64 letters, digits, _ or -: ${JSON.stringify(name)} does not.`)
  if (typeof description !== 'string' || description.trim() === '') throw new TypeError(`Tool ${name} needs a description.`)
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters))
    throw new TypeError(`The parameters of ${name} must be an object; {} when it takes none.`)
  if (typeof execute !== 'function') throw new TypeError(`Tool ${name} needs a function execute.`)
  for (const [parameter, { type } = { type: '' }] of Object.entries(parameters) as [string, { type: string } | undefined][]) {
    if (!parameterTypes.includes(type))
      throw new TypeError(`Parameter ${parameter} of ${name} must have a type: ${parameterTypes.join(', ')}.`)
  }
  return {
    ...definition,
    inputSchema: schemaOf(parameters),
    async call(args) {
      const problems = problemsOf(parameters, args)
      if (problems.length > 0) throw new TypeError(problems.join(' '))
      return execute(args as Arguments<P>)
    },
  }
}
