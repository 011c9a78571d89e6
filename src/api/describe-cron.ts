/** The usual cron expressions in words; an unusual one is its own description. */
const aliases: Record<string, string> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
}
const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const months = 'January February March April May June July August September October November December'.split(' ')

export function describeCron(cron: string): string {
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = (aliases[cron] ?? cron).split(' ')
  const time = timeOf(minute, hour)
  const suffix = [dayOf(day), weekdayOf(weekday), monthOf(month)]
  return time === undefined || suffix.includes(undefined) ? cron : time + suffix.join('')
}

function timeOf(minute: string, hour: string): string | undefined {
  const every = (field: string): number | undefined => {
    const step = /^\*\/(\d+)$/.exec(field)?.[1]
    return field === '*' ? 1 : step === undefined ? undefined : Number(step)
  }
  const [minutes, hours] = [every(minute), every(hour)]
  const isNumber = /^\d+$/.test(minute)
  if (minutes !== undefined && hours === 1) return minutes === 1 ? 'Every minute' : `Every ${minutes} minutes`
  if (isNumber && hours !== undefined) {
    const span = hours === 1 ? 'Every hour' : `Every ${hours} hours`
    if (Number(minute) === 0) return span
    return hours === 1 ? `At ${minute} minutes past the hour` : `At ${minute} minutes past the hour, every ${hours} hours`
  }
  if (!isNumber || !/^\d+$/.test(hour)) return undefined
  const twelve = Number(hour) % 12 || 12
  return `At ${String(twelve).padStart(2, '0')}:${minute.padStart(2, '0')} ${Number(hour) < 12 ? 'AM' : 'PM'}`
}

function dayOf(day: string): string | undefined {
  if (day === '*' || day === '?') return ''
  if (day === 'L') return ', on the last day of the month'
  return /^\d+$/.test(day) ? `, on day ${day} of the month` : undefined
}

function weekdayOf(weekday: string): string | undefined {
  if (weekday === '*' || weekday === '?') return ''
  const name = (text: string): string => days[Number(text) % 7] as string
  const range = /^([0-7])-([0-7])$/.exec(weekday)
  if (range) return `, ${name(range[1] as string)} through ${name(range[2] as string)}`
  return /^[0-7]$/.test(weekday) ? `, only on ${name(weekday)}` : undefined
}

function monthOf(month: string): string | undefined {
  if (month === '*') return ''
  const name = /^\d+$/.test(month) ? months[Number(month) - 1] : undefined
  return name && `, only in ${name}`
}
