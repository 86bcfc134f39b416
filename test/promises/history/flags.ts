/** What a broker is started with for the load of a history: groups that get going quickly. */
// A member whose broker died before it was told that it is one is waited for so long.
export const LOAD_FLAGS: readonly string[] = [
	...["--group-initial-rebalance-delay-ms", "0"],
	...["--group-min-session-timeout-ms", "1000"],
	...["--group-consumer-min-session-timeout-ms", "1000"],
	...["--group-consumer-session-timeout-ms", "2000"],
	...["--group-consumer-min-heartbeat-interval-ms", "300"],
	...["--group-consumer-heartbeat-interval-ms", "300"],
];
