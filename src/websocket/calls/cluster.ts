/** cluster.describe */
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";

export function describeCluster(session: Session): AnswerMap {
	const { brokers, ...cluster } = session.host.describeCluster();
	return { ...cluster, brokers: brokers.map((broker) => ({ ...broker })) };
}
