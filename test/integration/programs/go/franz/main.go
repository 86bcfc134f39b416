// franz-go as a program: see ../../README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/integration/program"
)

var background = context.Background()

func newClient(options program.Options, more ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(more, kgo.SeedBrokers(options.Bootstrap))...)
	program.Check(err)
	return client
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

// partitioner takes the partition that a record asks for, or what Java's default would.
type partitioner struct{ keyed kgo.TopicPartitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return partitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}
func (p partitioner) RequiresConsistency(*kgo.Record) bool { return true }
func (p partitioner) Partition(record *kgo.Record, count int) int {
	if record.Partition >= 0 {
		return int(record.Partition)
	}
	return p.keyed.Partition(record, count)
}

func produce(options program.Options) {
	clients := map[string]*kgo.Client{}
	var acks []program.Answer
	program.Read(func(line program.Record) {
		client, known := clients[line.Codec]
		if !known {
			settings := []kgo.Opt{
				kgo.ProducerBatchCompression(codecs[line.Codec]),
				kgo.ProducerLinger(20 * time.Millisecond),
				kgo.RecordPartitioner(partitioner{}),
				kgo.AllowAutoTopicCreation(),
			}
			if !options.Idempotent {
				settings = append(settings, kgo.DisableIdempotentWrite())
			}
			client = newClient(options, settings...)
			clients[line.Codec] = client
		}
		record := &kgo.Record{
			Topic: options.Topic, Partition: line.Partition, Key: line.Key, Value: line.Value,
		}
		for _, header := range line.Headers {
			record.Headers = append(
				record.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value},
			)
		}
		if line.Timestamp != nil {
			record.Timestamp = time.UnixMilli(*line.Timestamp)
		}
		ack := program.Answer{}
		acks = append(acks, ack)
		client.Produce(background, record, func(record *kgo.Record, err error) {
			if err != nil {
				ack["error"] = errorCode(err)
				return
			}
			ack["partition"], ack["offset"] = record.Partition, record.Offset
		})
	})
	for _, client := range clients {
		program.Check(client.Flush(background))
		client.Close()
	}
	for _, ack := range acks {
		program.Write(ack)
	}
}

func startOf(start program.Start) kgo.Offset {
	switch {
	case start.Offset != nil:
		return kgo.NewOffset().At(*start.Offset)
	case start.Timestamp != nil:
		return kgo.NewOffset().AfterMilli(*start.Timestamp)
	}
	return kgo.NewOffset().AtStart()
}

func headersOf(record *kgo.Record) []program.Header {
	headers := []program.Header{}
	for _, header := range record.Headers {
		headers = append(headers, program.Header{Name: header.Key, Value: header.Value})
	}
	return headers
}

func consume(options program.Options) {
	starts := map[int32]kgo.Offset{}
	for _, partition := range options.Partitions {
		starts[partition] = startOf(options.Start)
	}
	client := newClient(options, kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{options.Topic: starts},
	))
	limited, cancel := context.WithTimeout(background, program.Milliseconds(options.TimeoutMs))
	defer cancel()
	for count := 0; count < options.Count && limited.Err() == nil; {
		fetches := client.PollFetches(limited)
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				program.Check(err)
			}
		})
		fetches.EachRecord(func(record *kgo.Record) {
			program.Write(program.Consumed{
				Partition: record.Partition, Offset: record.Offset,
				Timestamp:     record.Timestamp.UnixMilli(),
				TimestampType: int(record.Attrs.TimestampType()),
				Key:           record.Key, Value: record.Value, Headers: headersOf(record),
			})
			count++
		})
	}
	client.Close()
}

func partitionsOf(parts map[string][]int32) []int32 {
	partitions := []int32{}
	for _, numbers := range parts {
		partitions = append(partitions, numbers...)
	}
	return partitions
}

// commit commits what was handled and tells so.
func commit(client *kgo.Client, positions map[int32]int64, topic string) {
	if len(positions) == 0 {
		return
	}
	offsets := map[int32]kgo.EpochOffset{}
	for partition, offset := range positions {
		offsets[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	var failed error
	client.CommitOffsetsSync(
		background, map[string]map[int32]kgo.EpochOffset{topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			failed = err
			if err != nil {
				return
			}
			for _, topic := range answer.Topics {
				for _, partition := range topic.Partitions {
					if failed == nil {
						failed = kerr.ErrorForCode(partition.ErrorCode)
					}
				}
			}
		},
	)
	if failed != nil {
		program.Write(program.Answer{"event": "commitFailed", "error": errorCode(failed)})
		return
	}
	program.Write(program.Answer{"event": "committed", "offsets": positions})
}

func group(options program.Options) {
	positions := map[int32]int64{}
	forget := func(event string, parts map[string][]int32) {
		partitions := partitionsOf(parts)
		for _, partition := range partitions {
			delete(positions, partition)
		}
		program.Write(program.Answer{"event": event, "partitions": partitions})
	}
	balancer := kgo.RangeBalancer()
	if options.Protocol == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	settings := []kgo.Opt{
		kgo.ConsumerGroup(options.Group),
		kgo.ConsumeTopics(options.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(balancer),
		kgo.SessionTimeout(program.Milliseconds(options.SessionTimeoutMs)),
		kgo.HeartbeatInterval(program.Milliseconds(options.HeartbeatMs)),
		kgo.DisableAutoCommit(),
		// Partitions are given up only between two rounds of the loop below.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(
			func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
				program.Write(program.Answer{"event": "assigned", "partitions": partitionsOf(parts)})
			}),
		kgo.OnPartitionsRevoked(
			func(_ context.Context, client *kgo.Client, parts map[string][]int32) {
				commit(client, positions, options.Topic)
				forget("revoked", parts)
			}),
		kgo.OnPartitionsLost(
			func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
				forget("lost", parts)
			}),
	}
	if options.Instance != "" {
		settings = append(settings, kgo.InstanceID(options.Instance))
	}
	client := newClient(options, settings...)
	handled := 0
	for ended := program.EndOfInput(); ; {
		select {
		case <-ended:
			client.CloseAllowingRebalance()
			program.Write(program.Answer{"event": "left"})
			return
		default:
		}
		limited, cancel := context.WithTimeout(background, 100*time.Millisecond)
		fetches := client.PollRecords(limited, options.CommitEvery)
		cancel()
		fetches.EachRecord(func(record *kgo.Record) {
			program.Write(program.Answer{
				"event": "record", "partition": record.Partition, "offset": record.Offset,
				"value": record.Value,
			})
			time.Sleep(program.Milliseconds(options.HandleMs))
			positions[record.Partition] = record.Offset + 1
			if handled++; handled%options.CommitEvery == 0 {
				commit(client, positions, options.Topic)
			}
		})
		client.AllowRebalance()
	}
}

func errorCode(err error) int16 {
	var known *kerr.Error
	if !errors.As(err, &known) {
		program.Check(err)
	}
	return known.Code
}

type adminClient struct{ *kadm.Client }

func (a adminClient) createTopic(command program.Command) (program.Answer, error) {
	configs := map[string]*string{}
	for name, value := range command.Configs {
		configs[name] = &value
	}
	create := a.CreateTopics
	if command.ValidateOnly {
		create = a.ValidateCreateTopics
	}
	answers, err := create(background, command.Partitions, 1, configs, command.Name)
	if err != nil {
		return nil, err
	}
	return nil, answers[command.Name].Err
}

func (a adminClient) describeTopic(command program.Command) (program.Answer, error) {
	topics, err := a.ListTopics(background, command.Name)
	if err != nil {
		return nil, err
	}
	topic := topics[command.Name]
	return program.Answer{"partitions": len(topic.Partitions)}, topic.Err
}

func (a adminClient) listTopics(program.Command) (program.Answer, error) {
	topics, err := a.ListTopics(background)
	return program.Answer{"topics": topics.Names()}, err
}

func (a adminClient) createPartitions(command program.Command) (program.Answer, error) {
	answers, err := a.UpdatePartitions(background, int(command.Count), command.Name)
	if err != nil {
		return nil, err
	}
	return nil, answers[command.Name].Err
}

func (a adminClient) describeConfigs(command program.Command) (program.Answer, error) {
	resources, err := a.DescribeTopicConfigs(background, command.Name)
	if err != nil {
		return nil, err
	}
	configs := map[string]*string{}
	for _, config := range resources[0].Configs {
		configs[config.Key] = config.Value
	}
	return program.Answer{"configs": configs}, resources[0].Err
}

func (a adminClient) alterConfigs(command program.Command) (program.Answer, error) {
	var changes []kadm.AlterConfig
	for name, value := range command.Set {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	for _, name := range command.Remove {
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
	}
	answers, err := a.AlterTopicConfigs(background, changes, command.Name)
	if err != nil {
		return nil, err
	}
	return nil, answers[0].Err
}

func (a adminClient) deleteRecords(command program.Command) (program.Answer, error) {
	offsets := kadm.Offsets{}
	offsets.AddOffset(command.Name, command.Partition, command.Offset, -1)
	answers, err := a.DeleteRecords(background, offsets)
	if err != nil {
		return nil, err
	}
	return nil, answers[command.Name][command.Partition].Err
}

func (a adminClient) listOffsets(command program.Command) (program.Answer, error) {
	var offsets kadm.ListedOffsets
	var err error
	switch at := string(command.At); at {
	case `"earliest"`:
		offsets, err = a.ListStartOffsets(background, command.Name)
	case `"latest"`:
		offsets, err = a.ListEndOffsets(background, command.Name)
	default:
		var timestamp int64
		program.Check(json.Unmarshal(command.At, &timestamp))
		offsets, err = a.ListOffsetsAfterMilli(background, timestamp, command.Name)
	}
	if err != nil {
		return nil, err
	}
	listed := offsets[command.Name][command.Partition]
	return program.Answer{"offset": listed.Offset}, listed.Err
}

func (a adminClient) listGroups(program.Command) (program.Answer, error) {
	groups, err := a.ListGroups(background)
	return program.Answer{"groups": groups.Groups()}, err
}

func (a adminClient) describeGroup(command program.Command) (program.Answer, error) {
	groups, err := a.DescribeGroups(background, command.Group)
	if err != nil {
		return nil, err
	}
	group := groups[command.Group]
	answer := program.Answer{"state": strings.ToUpper(group.State), "members": len(group.Members)}
	return answer, group.Err
}

func (a adminClient) committedOffsets(command program.Command) (program.Answer, error) {
	answers, err := a.FetchOffsets(background, command.Group)
	if err != nil {
		return nil, err
	}
	offsets := map[string]int64{}
	answers.Each(func(answer kadm.OffsetResponse) {
		offsets[fmt.Sprintf("%s:%d", answer.Topic, answer.Partition)] = answer.At
	})
	return program.Answer{"offsets": offsets}, answers.Error()
}

func (a adminClient) commitOffsets(command program.Command) (program.Answer, error) {
	offsets := kadm.Offsets{}
	for partition, offset := range command.Offsets {
		offsets.AddOffset(command.Name, partition, offset, -1)
	}
	answers, err := a.CommitOffsets(background, command.Group, offsets)
	if err != nil {
		return nil, err
	}
	return nil, answers.Error()
}

func (a adminClient) deleteGroup(command program.Command) (program.Answer, error) {
	answer, err := a.DeleteGroup(background, command.Group)
	if err != nil {
		return nil, err
	}
	return nil, answer.Err
}

func (a adminClient) deleteTopic(command program.Command) (program.Answer, error) {
	answer, err := a.DeleteTopic(background, command.Name)
	if err != nil {
		return nil, err
	}
	return nil, answer.Err
}

func (a adminClient) describeCluster(program.Command) (program.Answer, error) {
	metadata, err := a.BrokerMetadata(background)
	return program.Answer{"clusterId": metadata.Cluster, "brokers": len(metadata.Brokers)}, err
}

func (a adminClient) describeLogDirs(command program.Command) (program.Answer, error) {
	asked := kadm.TopicsSet{}
	asked.Add(command.Name, 0)
	brokers, err := a.DescribeAllLogDirs(background, asked)
	if err != nil {
		return nil, err
	}
	topics := []string{}
	for _, dirs := range brokers {
		for _, dir := range dirs {
			for name := range dir.Topics {
				topics = append(topics, name)
			}
		}
	}
	sort.Strings(topics)
	return program.Answer{"topics": topics}, nil
}

func admin(options program.Options) {
	client := newClient(options)
	defer client.Close()
	a := adminClient{kadm.NewClient(client)}
	program.AnswerCommands(map[string]func(program.Command) (program.Answer, error){
		"createTopic":      a.createTopic,
		"describeTopic":    a.describeTopic,
		"listTopics":       a.listTopics,
		"createPartitions": a.createPartitions,
		"describeConfigs":  a.describeConfigs,
		"alterConfigs":     a.alterConfigs,
		"deleteRecords":    a.deleteRecords,
		"listOffsets":      a.listOffsets,
		"listGroups":       a.listGroups,
		"describeGroup":    a.describeGroup,
		"committedOffsets": a.committedOffsets,
		"commitOffsets":    a.commitOffsets,
		"deleteGroup":      a.deleteGroup,
		"deleteTopic":      a.deleteTopic,
		"describeCluster":  a.describeCluster,
		"describeLogDirs":  a.describeLogDirs,
	}, errorCode)
}

func main() {
	program.Run(map[string]func(program.Options){
		"produce": produce, "consume": consume, "group": group, "admin": admin,
	})
}
