/** What clients of kafkajs are made with in tests. */
import kafkajs from "kafkajs";

/**
 * It would give a connection a second to come up, which a busy machine may take, and complains to
 * stderr of what tests provoke.
 */
export const KAFKAJS_SETTINGS = {
	logLevel: kafkajs.logLevel.NOTHING,
	connectionTimeout: 30_000,
	authenticationTimeout: 30_000,
} as const;
