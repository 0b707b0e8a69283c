import type { AssetType, Criticality, Environment } from './asset.js'

type Word<T> = readonly [RegExp, T]

// The order counts: the first that fits is taken, so "database server" is a database and "web server" a server.
const TYPES: readonly Word<AssetType>[] = [
  [/mainframe|z\/os|as\/?400|iseries|ibm i\b/i, 'mainframe'],
  [/database|datenbank|^db\b|\bdb$|dbms|sql instance/i, 'database'],
  [/application|anwendung|^app\b|software|service$|web ?app|saas/i, 'application'],
  [/container|kubernetes|k8s|pod|docker/i, 'container'],
  [/switch|router|firewall|load ?balancer|network|netzwerk|\blan\b|wlan|access point|vpn|proxy/i, 'network'],
  [/storage|\bsan\b|\bnas\b|filer|array|tape|speicher/i, 'storage'],
  [/virtual|\bvm\b|^vm|guest|virtuell/i, 'virtual_machine'],
  [/server|host|node|physical|blade|computer|machine|bare ?metal/i, 'server'],
]

const ENVIRONMENT_WORDS: readonly Word<Environment>[] = [
  [/^(non|nicht)[- ]?prod/i, 'test'],
  [/^pre[- ]?prod|^stag|^stg|^uat$|^qa?s?$|abnahme|acceptance|^int(egration)?$/i, 'staging'],
  [/^dr$|disaster|notfall|recovery|standby/i, 'disaster_recovery'],
  [/^pr(o?d|oduc|oduk)|^live|^produktiv/i, 'production'],
  [/^te?st|sandbox|demo/i, 'test'],
  [/^dev|entwick|lab/i, 'development'],
]

const CRITICALITIES: readonly Word<Criticality>[] = [
  [/critical|kritisch|^tier ?[01]$|^p1$|gold|platinum|very high|sehr hoch|^5\b/i, 'critical'],
  [/high|hoch|^tier ?2$|^p2$|silver|^4\b/i, 'high'],
  [/med|moderate|mittel|normal|^tier ?3$|^p3$|bronze|^3\b/i, 'medium'],
  [/low|niedrig|gering|minor|^tier ?[4-9]$|^p[45]$|^[12]\b/i, 'low'],
]

function look<T>(words: readonly Word<T>[], text: string): T | null {
  return words.find(([form]) => form.test(text.trim()))?.[1] ?? null
}

export const readType = (text: string): AssetType | null => look(TYPES, text)
export const readEnvironment = (text: string): Environment | null => look(ENVIRONMENT_WORDS, text)
export const readCriticality = (text: string): Criticality | null => look(CRITICALITIES, text)

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/windows.*server|^win(dows)?\.? ?(srv|server|20\d\d|nt)|^w2k/i, 'Windows Server'],
  [/windows|^win ?\d/i, 'Windows'],
  [/red ?hat|rhel/i, 'Red Hat Enterprise Linux'],
  [/suse|sles/i, 'SUSE Linux Enterprise'],
  [/centos/i, 'CentOS'],
  [/rocky/i, 'Rocky Linux'],
  [/alma/i, 'AlmaLinux'],
  [/oracle (enterprise )?linux|^oel/i, 'Oracle Linux'],
  [/ubuntu/i, 'Ubuntu'],
  [/debian/i, 'Debian'],
  [/\baix\b/i, 'AIX'],
  [/solaris|sunos/i, 'Solaris'],
  [/hp-?ux/i, 'HP-UX'],
  [/esxi?/i, 'VMware ESXi'],
  [/z\/?os/i, 'z/OS'],
  [/os\/?400|ibm i\b/i, 'IBM i'],
  [/linux/i, 'Linux'],
]

/** An operating system's usual name, and the version where the text has one: `RHEL 7.9` is Red Hat …, `7.9`. */
export function readSystem(text: string): { name: string; version: string | null } {
  const name = SYSTEMS.find(([form]) => form.test(text))?.[1]
  if (name === undefined) return { name: text, version: null }
  const version = /(?:^|[^\d.])(\d+(?:\.\d+){0,2}(?:\s*(?:R2|SP\s?\d|LTS))*)/i.exec(
    text.replace(/w2k(\d*)/i, 'win 20$1').replace(/z\/?os|os\/?400/i, ''),
  )?.[1]
  return { name, version: version?.replace(/\s*LTS$/i, '').toUpperCase() ?? null }
}
