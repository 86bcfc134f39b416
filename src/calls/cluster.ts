/** cluster.describe */
import type { AnswerMap, Caller } from "./caller.ts";

export function describeCluster(caller: Caller): AnswerMap {
	const { brokers, ...cluster } = caller.host.describeCluster();
	return { ...cluster, brokers: brokers.map((broker) => ({ ...broker })) };
}
