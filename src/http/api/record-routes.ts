/** What is told of the routes of records. */
import type { Described } from "./call-routes.ts";
import { PRODUCE_PARAMETERS } from "./produce-records.ts";
import { READ_PARAMETERS } from "./read-records.ts";
import * as schemas from "./schemas.ts";

export const READ_ROUTE: Described = {
	method: "GET",
	path: "/v1/topics/{topic}/partitions/{partition}/records",
	tag: "records",
	summary: "Read records from an offset on",
	description:
		"The broker keeps nothing of who reads: go on with `offset`: `next_offset` of the answer. " +
		"`gaps` are records that are damaged and left out.",
	query: READ_PARAMETERS,
	answer: schemas.RECORDS,
	traffic: "fetch",
};

export const PRODUCE_ROUTE: Described = {
	method: "POST",
	path: "/v1/topics/{topic}/records",
	tag: "records",
	summary: "Store records",
	description:
		"Answered when they are as durable as was asked. Without `partition` the broker chooses: by " +
		"the key, as Kafka's clients do, or one partition for all that have none. Records keep their " +
		"order within a partition, and `stored` tells where those of each begin. Where some are " +
		"refused, the answer is a problem with `stored` and `refused`. Repeating a request may store " +
		"records twice.",
	query: PRODUCE_PARAMETERS,
	body: schemas.NEW_RECORDS,
	answer: schemas.STORED,
	traffic: "produce",
};
