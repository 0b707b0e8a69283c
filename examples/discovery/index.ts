export { type DemoRun, type DiscoveryResult, runDemo, sampleFile } from './demo.js'
export { type DiscoveryCode, DiscoveryError } from './errors.js'
export { type DemoOptions, demoRoutes } from './routes.js'
