/** Configuration lines, `['maxmemory', '10mb']` and the like. */
export type RedisConfig = Readonly<Record<string, string>>;
/** A Redis server of its own, for tests that break it. */
export interface RedisServer {
    readonly port: number;
    readonly url: string;
    /** Folder of its append-only file and its dump. */
    readonly folder: string;
    /** Process id; undefined while it is stopped. */
    readonly pid: number | undefined;
    /** One command on a connection of its own; each reply as text, arrays as arrays. Errors: the server's own words. */
    ask(...command: readonly string[]): Promise<RedisReply>;
    /** SIGKILL: nothing is written any more. */
    kill(): Promise<void>;
    /** SIGTERM: what the configuration wants kept is written. */
    stop(): Promise<void>;
    /** Starts again on the same port; `empty` without the files of before. */
    start(how?: 'same' | 'empty'): Promise<void>;
    /** SIGSTOP: connections stay, nothing answers. */
    freeze(): void;
    /** SIGCONT */
    thaw(): void;
    /** Stops it and removes its files. */
    remove(): Promise<void>;
}
export type RedisReply = string | number | null | readonly RedisReply[];
/** Starts Redis on a free port, with the append-only file of production. */
export declare function startRedis(config?: RedisConfig): Promise<RedisServer>;
export interface RedisSet {
    /** `REDIS_URL` of the whole. */
    readonly url: string;
    readonly servers: readonly RedisServer[];
    remove(): Promise<void>;
}
/** Starts a Cluster of three masters that share the slots. */
export declare function startRedisCluster(config?: RedisConfig): Promise<RedisSet>;
export interface SentinelSet extends RedisSet {
    readonly sentinels: readonly RedisServer[];
    /** The server that the sentinels name as master now. */
    master(): Promise<RedisServer>;
    /** Asks for a failover without waiting for a fault. */
    failover(): Promise<void>;
}
/** Starts one master, its replicas and three sentinels that watch it under the name `mymaster`. */
export declare function startRedisSentinel({ replicas, config, }?: {
    replicas?: number;
    config?: RedisConfig;
}): Promise<SentinelSet>;
