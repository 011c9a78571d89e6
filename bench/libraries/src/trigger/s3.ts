import { S3Client } from '@aws-sdk/client-s3'
import { task } from '@trigger.dev/sdk'

const client = new S3Client({ region: 'auto', credentials: { accessKeyId: 'id', secretAccessKey: 'key' } })
export const s3 = task({ id: 's3', run: async () => ({ ready: typeof client.send }) })
