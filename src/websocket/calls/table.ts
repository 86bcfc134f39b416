/**
 * Every call of operation 7, by name. A call takes what it needs out of `parameters` and answers
 * with a map.
 */
import type { CallName } from "../../protocol/calls.ts";
import type { Arguments } from "../arguments.ts";
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";
import { describeCluster } from "./cluster.ts";
import {
	acknowledgeRevocation,
	commitOffsets,
	committedOffsets,
	joinGroup,
	leaveGroup,
	tellProgress,
} from "./group-members.ts";
import { deleteGroup, describeGroup, listGroups, resetGroupOffsets } from "./groups.ts";
import { describeOffsets, listOffsets } from "./offsets.ts";
import {
	addPartitions,
	alterTopic,
	createTopic,
	deleteTopic,
	describeTopic,
	listTopics,
} from "./topics.ts";
import { verifyPartition, verifyStatus } from "./verify.ts";

export type Call = (session: Session, parameters: Arguments) => AnswerMap | Promise<AnswerMap>;

const BY_NAME: Record<CallName, Call> = {
	"topics.create": createTopic,
	"topics.list": listTopics,
	"topics.describe": describeTopic,
	"topics.alter": alterTopic,
	"topics.add_partitions": addPartitions,
	"topics.delete": deleteTopic,
	"offsets.list": listOffsets,
	"offsets.describe": describeOffsets,
	"groups.list": listGroups,
	"groups.describe": describeGroup,
	"groups.reset_offsets": resetGroupOffsets,
	"groups.delete": deleteGroup,
	"groups.join": joinGroup,
	"groups.acknowledge": acknowledgeRevocation,
	"groups.progress": tellProgress,
	"groups.commit": commitOffsets,
	"groups.committed": committedOffsets,
	"groups.leave": leaveGroup,
	"cluster.describe": describeCluster,
	"verify.partition": verifyPartition,
	"verify.status": verifyStatus,
};

export const CALLS: ReadonlyMap<string, Call> = new Map(Object.entries(BY_NAME));
