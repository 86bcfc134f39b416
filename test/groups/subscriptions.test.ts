import { describe, expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import { Subscriptions } from "../../src/groups/consumer/subscriptions.ts";
import { TopicLookup } from "../../src/groups/offsets/topic-lookup.ts";
import { ConsumerHost, matchNames } from "./consumer-driver.ts";

describe("subscriptions by pattern", () => {
	/** Matches no more names at a time than a budget of steps would. */
	function subscriptionsWith(namesMax: number) {
		const { catalogue } = new ConsumerHost();
		const lookup = new TopicLookup(catalogue, (pattern, names) => {
			if (names.length <= namesMax) return matchNames(pattern, names);
			throw new MillraceError("INVALID_REGULAR_EXPRESSION", "it takes too many steps");
		});
		return { catalogue, subscriptions: new Subscriptions(lookup) };
	}

	test("stand for what they did where the names have become too many to match", () => {
		const { catalogue, subscriptions } = subscriptionsWith(3);
		const before = ["a1", "a2", "b1"].map((name) => catalogue.set(name, 1));
		const subscription = subscriptions.take([], "a.*", null);
		for (const name of ["a3", "a4", "a5", "b2"]) catalogue.set(name, 1);
		expect(subscriptions.refresh()).toBe(false);
		expect([...subscriptions.topicsOf(subscription).keys()]).toEqual(before.slice(0, 2));
		expect(() => subscriptions.take([], "(a|b).*", subscription)).toThrow(
			expect.objectContaining({ code: "INVALID_REGULAR_EXPRESSION" }),
		);
		for (const name of ["a4", "a5", "b1", "b2"]) catalogue.delete(name);
		expect(subscriptions.refresh()).toBe(true);
		const now = ["a1", "a2", "a3"].map((name) => catalogue.get(name)!.topicId);
		expect([...subscriptions.topicsOf(subscription).keys()]).toEqual(now);
	});
});
