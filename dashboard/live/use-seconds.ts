import { useEffect, useState } from 'preact/hooks'

/** Whole seconds until then, counted down; undefined without a moment to wait for. */
export function useSecondsUntil(moment: number | undefined): number | undefined {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (moment === undefined) return
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), 250)
    return () => clearInterval(timer)
  }, [moment])
  return moment === undefined ? undefined : Math.max(0, Math.ceil((moment - now) / 1000))
}
