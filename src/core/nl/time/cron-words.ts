/** A cron expression of five fields in English; one of a form this file does not know is its own description. */
import { monthNames, weekdayNames } from './atoms.ts'

export function cronInWords(cron: string): string {
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = cron.split(' ')
  const time = timeWords(minute, hour)
  const date = dateWords(day, month, weekday)
  if (time === undefined || date === undefined) return cron
  return [time.isInterval && date === 'every day' ? '' : date, time.words]
    .filter((part) => part !== '')
    .join(time.isInterval ? ', ' : ' ')
}

function timeWords(minute: string, hour: string): { words: string; isInterval: boolean } | undefined {
  const minutes = every(minute)
  const hours = every(hour)
  if (minutes !== undefined && minute !== '0') {
    const words = minutes === 1 ? 'every minute' : `every ${minutes} minutes`
    if (hours === 1) return { words, isInterval: true }
    return /^[\d,-]+$/.test(hour) ? { words: `${words} in the hours ${hour.replaceAll(',', ', ')}`, isInterval: true } : undefined
  }
  const list = numbers(minute)
  if (!list) return undefined
  const past = list.length === 1 && list[0] === 0 ? '' : ` at minute ${minute.replaceAll(',', ', ')}`
  if (hours !== undefined) return { words: `${hours === 1 ? 'every hour' : `every ${hours} hours`}${past}`, isInterval: true }
  const times = numbers(hour)
  if (times) {
    const all = times.flatMap((one) => list.map((two) => `${String(one).padStart(2, '0')}:${String(two).padStart(2, '0')}`))
    return { words: `at ${listed(all)}`, isInterval: false }
  }
  const stepped = /^(\d+)-(\d+)(?:\/(\d+))?$/.exec(hour)
  if (stepped)
    return {
      words: `every ${stepped[3] ? `${stepped[3]} hours` : 'hour'}${past} from ${stepped[1]} to ${stepped[2]}`,
      isInterval: true,
    }
  return /^[\d,-]+$/.test(hour)
    ? { words: `every hour${past} in the hours ${hour.replaceAll(',', ', ')}`, isInterval: true }
    : undefined
}

function dateWords(day: string, month: string, weekday: string): string | undefined {
  const inMonth = monthWords(month)
  if (inMonth === undefined) return undefined
  if (weekday !== '*') {
    if (day !== '*') return undefined
    const name = weekdayWords(weekday)
    return name && name + inMonth
  }
  const days = every(day)
  if (days !== undefined) return (days === 1 ? 'every day' : `every ${days}${ending(days)} day of the month`) + inMonth
  if (!/^(?:\d+|L)(?:,(?:\d+|L))*$/.test(day)) return undefined
  const names = day.split(',').map((one) => (one === 'L' ? 'last day' : `${one}${ending(Number(one))}`))
  return inMonth === '' ? `on the ${listed(names)} of every month` : `on the ${listed(names)}${inMonth.replace(' in ', ' of ')}`
}

function monthWords(month: string): string | undefined {
  if (month === '*') return ''
  const step = /^\*\/(\d+)$/.exec(month)
  if (step) return ` in every ${step[1]}${ending(Number(step[1]))} month`
  return numbers(month) && ` in ${listed((numbers(month) as number[]).map((one) => monthNames[one - 1] ?? String(one)))}`
}

function weekdayWords(weekday: string): string | undefined {
  if (weekday === '1-5') return 'every weekday'
  if (weekday === '0,6') return 'every weekend day'
  const name = (digit: string): string => weekdayNames[Number(digit) % 7] as string
  const nth = /^(\d)(?:#(\d)|(L))$/.exec(weekday)
  if (nth) return `on the ${nth[3] ? 'last' : `${nth[2]}${ending(Number(nth[2]))}`} ${name(nth[1] as string)} of every month`
  if (!/^\d(?:-\d)?(?:,\d(?:-\d)?)*$/.test(weekday)) return undefined
  return `every ${listed(weekday.split(',').map((part) => part.split('-').map(name).join(' to ')))}`
}

function every(field: string): number | undefined {
  const step = /^\*\/(\d+)$/.exec(field)
  return field === '*' ? 1 : step ? Number(step[1]) : undefined
}

function numbers(field: string): number[] | undefined {
  return /^\d+(?:,\d+)*$/.test(field) ? field.split(',').map(Number) : undefined
}

function listed(parts: string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
}

function ending(number: number): string {
  if (number % 100 > 10 && number % 100 < 14) return 'th'
  return { 1: 'st', 2: 'nd', 3: 'rd' }[number % 10] ?? 'th'
}
