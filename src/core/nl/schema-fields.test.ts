import { expect, it } from 'vitest'
import { fieldsOfSchema, isClosedSchema } from './schema-fields.ts'

it('reads the fields of a schema', () => {
  const schema = {
    type: 'object',
    required: ['id', 'count', 'mode'],
    additionalProperties: false,
    $defs: { mode: { type: 'string', enum: ['a', 'b'] }, loop: { $ref: '#/$defs/loop' } },
    properties: {
      id: { type: 'string', format: 'uuid', description: 'Which one' },
      count: { type: 'integer', default: 3 },
      mode: { $ref: '#/$defs/mode' },
      note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      either: { type: ['string', 'number'] },
      kind: { const: 'x' },
      any: true,
      loop: { $ref: '#/$defs/loop' },
    },
    allOf: [{ properties: { more: { type: 'array' } }, required: ['more'] }],
  }
  expect(fieldsOfSchema(schema)).toEqual([
    { name: 'id', required: true, type: 'string', format: 'uuid', description: 'Which one' },
    { name: 'count', required: false, type: 'integer' },
    { name: 'mode', required: true, type: 'string', enum: ['a', 'b'] },
    { name: 'note', required: false, type: 'string', nullable: true },
    { name: 'either', required: false },
    { name: 'kind', required: false, type: 'string', enum: ['x'] },
    { name: 'any', required: false },
    { name: 'loop', required: false },
    { name: 'more', required: true, type: 'array' },
  ])
  expect(isClosedSchema(schema)).toBe(true)
})

it.each([[undefined], [null], [true], [[]], [{}], [{ type: 'string' }], [{ $ref: '#' }], [{ $ref: 'https://example.com' }]])(
  'has no fields in %j',
  (schema) => {
    expect(fieldsOfSchema(schema)).toBeUndefined()
    expect(isClosedSchema(schema)).toBe(false)
  },
)
