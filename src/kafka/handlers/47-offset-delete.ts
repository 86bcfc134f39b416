/**
 * OffsetDelete: v0.
 *
 * Behavior (KIP-496):
 * - Offsets of topics that a member is subscribed to stay: GROUP_SUBSCRIBED_TO_TOPIC.
 */
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import { firstError } from "../audited.ts";
import { kafkaCode } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	OFFSET_DELETE,
	type OffsetDeleteRequest,
	type OffsetDeleteResponse,
} from "../generated/47-offset-delete.ts";
import { groupCode } from "../groups.ts";

export const offsetDeleteApi = serveApi(
	OFFSET_DELETE,
	offsetDelete,
	({ groupId }, { errorCode, topics }) => [
		{
			resource: `offsets of group ${groupId}`,
			errorCode:
				errorCode === CODES.NONE.code
					? firstError(topics.flatMap(({ partitions }) => partitions))
					: errorCode,
		},
	],
);

async function offsetDelete(
	{ groupId, topics }: OffsetDeleteRequest,
	exchange: Exchange,
): Promise<OffsetDeleteResponse> {
	const { NONE, TOPIC_AUTHORIZATION_FAILED } = CODES;
	const isAllowed = ({ name }: { name: string }) => exchange.allows("topic", name);
	try {
		checkAllowed(exchange, "group", groupId);
		const deleted = await exchange.host.groups.deleteOffsets({
			groupId,
			topics: topics.filter(isAllowed).map(({ name, partitions }) => ({
				topic: name,
				partitions: partitions.map(({ partitionIndex }) => partitionIndex),
			})),
		});
		return {
			errorCode: NONE.code,
			topics: [
				...deleted.map(({ topic, partitions }) => ({
					name: topic,
					partitions: partitions.map(({ partition, code }) => ({
						partitionIndex: partition,
						errorCode: kafkaCode(code),
					})),
				})),
				...topics
					.filter((topic) => !isAllowed(topic))
					.map(({ name, partitions }) => ({
						name,
						partitions: partitions.map(({ partitionIndex }) => ({
							partitionIndex,
							errorCode: TOPIC_AUTHORIZATION_FAILED.code,
						})),
					})),
			],
		};
	} catch (error) {
		return { errorCode: groupCode(error), topics: [] };
	}
}
