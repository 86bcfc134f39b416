/**
 * OffsetDelete: v0.
 *
 * Behavior (KIP-496):
 * - Offsets of topics that a member is subscribed to stay: GROUP_SUBSCRIBED_TO_TOPIC.
 */
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { kafkaCode } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	OFFSET_DELETE,
	type OffsetDeleteRequest,
	type OffsetDeleteResponse,
} from "../generated/47-offset-delete.ts";
import { groupCode } from "../groups.ts";

export const offsetDeleteApi = serveApi(OFFSET_DELETE, offsetDelete);

async function offsetDelete(
	{ groupId, topics }: OffsetDeleteRequest,
	{ host }: Exchange,
): Promise<OffsetDeleteResponse> {
	try {
		const deleted = await host.groups.deleteOffsets({
			groupId,
			topics: topics.map(({ name, partitions }) => ({
				topic: name,
				partitions: partitions.map(({ partitionIndex }) => partitionIndex),
			})),
		});
		return {
			errorCode: CODES.NONE.code,
			topics: deleted.map(({ topic, partitions }) => ({
				name: topic,
				partitions: partitions.map(({ partition, code }) => ({
					partitionIndex: partition,
					errorCode: kafkaCode(code),
				})),
			})),
		};
	} catch (error) {
		return { errorCode: groupCode(error), topics: [] };
	}
}
