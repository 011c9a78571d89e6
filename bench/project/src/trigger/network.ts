import { task } from '@trigger.dev/sdk'

/** Waits on the network and does nothing else. */
export const network = task({
  id: 'network',
  run: async (payload: { url: string }) => {
    const response = await fetch(payload.url)
    return { status: response.status, length: (await response.text()).length }
  },
})
