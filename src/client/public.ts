/** What both entries of the SDK export, beside their `connect`. */
export type {
	AclFilter,
	AclOperationName,
	AclPatternName,
	AclResourceName,
	AclRule,
	BrokerConfigEntry,
	BrokerConfigSource,
	ClientDescription,
	GroupDescription,
	GroupMember,
	GroupPartition,
	GroupSummary,
	OffsetMove,
	PartitionOffsets,
	QuotaEntry,
	QuotaTarget,
	SlowReason,
	ThrottledClient,
	TopicConfigEntry,
	TopicDescription,
	TopicSummary,
	UserDescription,
} from "../protocol/calls.ts";
export type { CodeName } from "../protocol/codes.ts";
export { MillraceError } from "../protocol/error.ts";
export type {
	CreateTopicOptions,
	RequestOptions,
	ResetOffsetsOptions,
	ResetPosition,
	VerifiedPartition,
	VerifyOptions,
} from "./admin.ts";
export type { Client, ConnectOptions, Throttle, Ticket } from "./client.ts";
export type { Auth } from "./connection/credentials.ts";
export type { TlsOptions } from "./connection/socket.ts";
export type { Consumer } from "./consumer/consumer.ts";
export type { ConsumerOptions, Start, TopicSelection } from "./consumer/consumer-options.ts";
export type { ConsumedRecord, RecordBatch } from "./consumer/delivery.ts";
export type { GroupConsumer } from "./consumer/group-consumer.ts";
export type {
	GroupConsumerOptions,
	OffsetToCommit,
	TopicPartition,
} from "./consumer/group-options.ts";
export type { BytesJson, RecordJson } from "./consumer/record-json.ts";
export type { Gap } from "./consumer/subscription.ts";
export type { Compression, Producer, ProducerOptions } from "./producer/producer.ts";
export type { Ack, Durability, Header, HeadersToSend, RecordToSend } from "./records.ts";
export { type Carrier, carrierOf, type Propagate } from "./trace.ts";
export type { Codec, CodecName } from "./values/codecs.ts";
