/** `trigger.do/mcp`: tools for agents, and an address for them. */
export { type DefinedTool, defineTool, type ToolDefinition } from './define-tool.ts'
export type { Arguments, Parameter, Parameters, ParameterType } from './parameters.ts'
export { type ServeOptions, serveTools } from './serve-tools.ts'
