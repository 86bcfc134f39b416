/**
 * Every operation that is answered with a map, by number. Two are elsewhere: produce (hot, its own
 * answer) and credit (no answer).
 */

import type { AnswerMap } from "../../calls/caller.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";
import { auth } from "./auth.ts";
import { call } from "./call.ts";
import { hello } from "./hello.ts";
import { open } from "./open.ts";
import { ping } from "./ping.ts";
import { subscribe } from "./subscribe.ts";
import { unsubscribe } from "./unsubscribe.ts";

/**
 * Takes its fields out of the frame before it returns or awaits anything: the frame's memory is
 * gone afterwards. What it throws or rejects with is answered as an error.
 */
export type RequestHandler = (session: Session, fields: Fields) => AnswerMap | Promise<AnswerMap>;

export const REQUEST_HANDLERS: ReadonlyMap<number, RequestHandler> = new Map([
	[OPERATION.hello, hello],
	[OPERATION.open, open],
	[OPERATION.subscribe, subscribe],
	[OPERATION.unsubscribe, unsubscribe],
	[OPERATION.call, call],
	[OPERATION.auth, auth],
	[OPERATION.ping, ping],
]);
