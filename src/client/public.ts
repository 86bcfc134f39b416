/** What both entries of the SDK export, beside their `connect`. */
export type { CodeName } from "../protocol/codes.ts";
export { MillraceError } from "../protocol/error.ts";
export type {
	CreateTopicOptions,
	GroupDescription,
	GroupMember,
	GroupPartition,
	GroupSummary,
	OffsetMove,
	PartitionOffsets,
	RequestOptions,
	ResetOffsetsOptions,
	ResetPosition,
	TopicConfigEntry,
	TopicDescription,
	TopicSummary,
	VerifiedPartition,
	VerifyOptions,
} from "./admin.ts";
export type { Client, ConnectOptions } from "./client.ts";
export type { Codec, CodecName } from "./codecs.ts";
export type { Consumer } from "./consumer.ts";
export type { ConsumerOptions, Start, TopicSelection } from "./consumer-options.ts";
export type { ConsumedRecord, RecordBatch } from "./delivery.ts";
export type { GroupConsumer } from "./group-consumer.ts";
export type { GroupConsumerOptions, OffsetToCommit, TopicPartition } from "./group-options.ts";
export type { Compression, Producer, ProducerOptions } from "./producer.ts";
export type { Ack, Durability, Header, HeadersToSend, RecordToSend } from "./records.ts";
export type { Gap } from "./subscription.ts";
