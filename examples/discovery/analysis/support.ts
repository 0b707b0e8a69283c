/** When the maker's regular (not paid-for extended) support of an operating system ended or will end. */
const ENDS: readonly (readonly [system: string, version: RegExp, ends: string])[] = [
  ['Windows Server', /^(NT|2000|2003)/, '2015-07-14'],
  ['Windows Server', /^2008/, '2020-01-14'],
  ['Windows Server', /^2012/, '2023-10-10'],
  ['Windows Server', /^2016/, '2027-01-12'],
  ['Windows Server', /^2019/, '2029-01-09'],
  ['Windows Server', /^2022/, '2031-10-14'],
  ['Windows', /^7\b/, '2020-01-14'],
  ['Windows', /^8/, '2023-01-10'],
  ['Windows', /^10/, '2025-10-14'],
  ['Red Hat Enterprise Linux', /^5\b/, '2017-03-31'],
  ['Red Hat Enterprise Linux', /^6\b/, '2020-11-30'],
  ['Red Hat Enterprise Linux', /^7\b/, '2024-06-30'],
  ['Red Hat Enterprise Linux', /^8\b/, '2029-05-31'],
  ['Red Hat Enterprise Linux', /^9\b/, '2032-05-31'],
  ['CentOS', /^[56]\b/, '2020-11-30'],
  ['CentOS', /^7\b/, '2024-06-30'],
  ['CentOS', /^8\b/, '2021-12-31'],
  ['SUSE Linux Enterprise', /^11\b/, '2019-03-31'],
  ['SUSE Linux Enterprise', /^12\b/, '2024-10-31'],
  ['SUSE Linux Enterprise', /^15\b/, '2031-07-31'],
  ['Ubuntu', /^14/, '2019-04-25'],
  ['Ubuntu', /^16/, '2021-04-30'],
  ['Ubuntu', /^18/, '2023-05-31'],
  ['Ubuntu', /^20/, '2025-05-31'],
  ['Ubuntu', /^22/, '2027-04-30'],
  ['Ubuntu', /^24/, '2029-05-31'],
  ['Debian', /^[89]\b/, '2022-06-30'],
  ['Debian', /^10\b/, '2024-06-30'],
  ['Debian', /^11\b/, '2026-08-31'],
  ['Debian', /^12\b/, '2028-06-30'],
  ['VMware ESXi', /^[56]\b/, '2022-10-15'],
  ['VMware ESXi', /^7\b/, '2025-10-02'],
  ['AIX', /^[56]\b/, '2017-04-30'],
  ['AIX', /^7\.1/, '2023-04-30'],
  ['Solaris', /^(8|9|10)\b/, '2018-01-30'],
  ['HP-UX', /^11/, '2025-12-31'],
]

/** The day on which support ends, or null where the table does not know the system. */
export function supportEnd(system: string | null, version: string | null): string | null {
  if (system === null || version === null) return null
  return ENDS.find(([name, form]) => name === system && form.test(version))?.[2] ?? null
}
