// sarama as a program: see ../../README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"millrace/integration/program"
)

func newConfig() *sarama.Config {
	config := sarama.NewConfig()
	// By default it speaks what Kafka 2.8 spoke.
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Consumer.Return.Errors = true
	// A commit waits behind the fetch that is held on the same connection, for this long.
	config.Consumer.MaxWaitTime = 50 * time.Millisecond
	return config
}

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

// partitioner takes the partition that a record asks for, or what Java's default would: sarama's
// own default hashes keys in another way.
type partitioner struct {
	keyed  sarama.Partitioner
	random sarama.Partitioner
}

func newPartitioner(topic string) sarama.Partitioner {
	return partitioner{murmur2{}, sarama.NewRandomPartitioner(topic)}
}
func (p partitioner) RequiresConsistency() bool { return true }
func (p partitioner) Partition(message *sarama.ProducerMessage, count int32) (int32, error) {
	if message.Metadata.(int32) >= 0 {
		return message.Metadata.(int32), nil
	}
	if message.Key == nil {
		return p.random.Partition(message, count)
	}
	return p.keyed.Partition(message, count)
}

// murmur2 is the hash of Kafka's own clients, which sarama leaves to its users.
type murmur2 struct{}

func (murmur2) RequiresConsistency() bool { return true }
func (murmur2) Partition(message *sarama.ProducerMessage, count int32) (int32, error) {
	key, err := message.Key.Encode()
	if err != nil {
		return 0, err
	}
	const multiplier = 0x5bd1e995
	hash := uint32(0x9747b28c) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		word := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		word *= multiplier
		word ^= word >> 24
		hash = hash*multiplier ^ word*multiplier
	}
	if len(key) > 0 {
		for index := len(key) - 1; index >= 0; index-- {
			hash ^= uint32(key[index]) << (8 * index)
		}
		hash *= multiplier
	}
	hash ^= hash >> 13
	hash *= multiplier
	hash ^= hash >> 15
	return int32(hash&0x7fffffff) % count, nil
}

func bytesOf(data []byte) sarama.Encoder {
	if data == nil {
		return nil
	}
	return sarama.ByteEncoder(data)
}

func newProducer(options program.Options, codec string) sarama.AsyncProducer {
	config := newConfig()
	config.Producer.Compression = codecs[codec]
	config.Producer.Partitioner = newPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	config.Producer.Retry.Max = 100
	config.Metadata.Retry.Max = 100
	if options.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewAsyncProducer([]string{options.Bootstrap}, config)
	program.Check(err)
	return producer
}

func produce(options program.Options) {
	producers := map[string]sarama.AsyncProducer{}
	acks := map[*sarama.ProducerMessage]program.Answer{}
	var lock sync.Mutex
	var waiting sync.WaitGroup
	var sent []*sarama.ProducerMessage
	answer := func(message *sarama.ProducerMessage, ack program.Answer) {
		lock.Lock()
		acks[message] = ack
		lock.Unlock()
		waiting.Done()
	}
	collect := func(producer sarama.AsyncProducer) {
		go func() {
			for message := range producer.Successes() {
				answer(message, program.Answer{
					"partition": message.Partition, "offset": message.Offset,
				})
			}
		}()
		go func() {
			for failure := range producer.Errors() {
				answer(failure.Msg, program.Answer{"error": errorCode(failure.Err)})
			}
		}()
	}
	program.Read(func(line program.Record) {
		producer, known := producers[line.Codec]
		if !known {
			producer = newProducer(options, line.Codec)
			producers[line.Codec] = producer
			collect(producer)
		}
		message := &sarama.ProducerMessage{
			Topic: options.Topic, Key: bytesOf(line.Key), Value: bytesOf(line.Value),
			Metadata: line.Partition,
		}
		for _, header := range line.Headers {
			message.Headers = append(
				message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value},
			)
		}
		if line.Timestamp != nil {
			message.Timestamp = time.UnixMilli(*line.Timestamp)
		}
		sent = append(sent, message)
		waiting.Add(1)
		producer.Input() <- message
	})
	waiting.Wait()
	for _, message := range sent {
		program.Write(acks[message])
	}
}

func startOf(options program.Options, client sarama.Client, partition int32) int64 {
	switch {
	case options.Start.Offset != nil:
		return *options.Start.Offset
	case options.Start.Timestamp != nil:
		offset, err := client.GetOffset(options.Topic, partition, *options.Start.Timestamp)
		program.Check(err)
		return offset
	}
	return sarama.OffsetOldest
}

func consumed(message *sarama.ConsumerMessage) program.Consumed {
	headers := []program.Header{}
	for _, header := range message.Headers {
		headers = append(headers, program.Header{Name: string(header.Key), Value: header.Value})
	}
	// It does not tell which of the two timestamps it gives: it gives the broker's where there is
	// one.
	timestamp, kind := message.Timestamp, 0
	if !message.BlockTimestamp.IsZero() {
		timestamp, kind = message.BlockTimestamp, 1
	}
	return program.Consumed{
		Partition: message.Partition, Offset: message.Offset, Timestamp: timestamp.UnixMilli(),
		TimestampType: kind, Key: message.Key, Value: message.Value, Headers: headers,
	}
}

func consume(options program.Options) {
	client, err := sarama.NewClient([]string{options.Bootstrap}, newConfig())
	program.Check(err)
	consumer, err := sarama.NewConsumerFromClient(client)
	program.Check(err)
	messages := make(chan *sarama.ConsumerMessage)
	for _, partition := range options.Partitions {
		part, err := consumer.ConsumePartition(
			options.Topic, partition, startOf(options, client, partition),
		)
		program.Check(err)
		go func() {
			for message := range part.Messages() {
				messages <- message
			}
		}()
		go func() {
			for failure := range part.Errors() {
				program.Check(failure.Err)
			}
		}()
	}
	deadline := time.After(program.Milliseconds(options.TimeoutMs))
	for count := 0; count < options.Count; count++ {
		select {
		case message := <-messages:
			program.Write(consumed(message))
		case <-deadline:
			return
		}
	}
}

// member handles records of several partitions at the same time, and commits what it has handled.
type member struct {
	options   program.Options
	lock      sync.Mutex
	positions map[int32]int64
	handled   int
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	partitions := session.Claims()[m.options.Topic]
	program.Write(program.Answer{"event": "assigned", "partitions": partitions})
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.commit(session)
	m.positions = map[int32]int64{}
	partitions := session.Claims()[m.options.Topic]
	program.Write(program.Answer{"event": "revoked", "partitions": partitions})
	return nil
}

// commit must be called under the lock. Commit tells of no error: those come by a channel.
func (m *member) commit(session sarama.ConsumerGroupSession) {
	if len(m.positions) > 0 {
		session.Commit()
		program.Write(program.Answer{"event": "committed", "offsets": m.positions})
	}
}

func (m *member) ConsumeClaim(
	session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim,
) error {
	for {
		select {
		case message := <-claim.Messages():
			if message == nil {
				return nil
			}
			program.Write(program.Answer{
				"event": "record", "partition": message.Partition, "offset": message.Offset,
				"value": message.Value,
			})
			time.Sleep(program.Milliseconds(m.options.HandleMs))
			m.lock.Lock()
			session.MarkMessage(message, "")
			m.positions[message.Partition] = message.Offset + 1
			if m.handled++; m.handled%m.options.CommitEvery == 0 {
				m.commit(session)
			}
			m.lock.Unlock()
		case <-session.Context().Done():
			return nil
		}
	}
}

func group(options program.Options) {
	config := newConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout = program.Milliseconds(options.SessionTimeoutMs)
	config.Consumer.Group.Heartbeat.Interval = program.Milliseconds(options.HeartbeatMs)
	config.Consumer.Group.InstanceId = options.Instance
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{
		sarama.NewBalanceStrategyRange(),
	}
	consumers, err := sarama.NewConsumerGroup([]string{options.Bootstrap}, options.Group, config)
	program.Check(err)
	go func() {
		for failure := range consumers.Errors() {
			program.Write(program.Answer{"event": "error", "message": failure.Error()})
		}
	}()
	running, stop := context.WithCancel(context.Background())
	go func() {
		<-program.EndOfInput()
		stop()
	}()
	handler := &member{options: options, positions: map[int32]int64{}}
	for running.Err() == nil {
		err := consumers.Consume(running, []string{options.Topic}, handler)
		if err != nil && running.Err() == nil {
			program.Check(err)
		}
	}
	program.Check(consumers.Close())
	program.Write(program.Answer{"event": "left"})
}

func errorCode(err error) int16 {
	var known sarama.KError
	if !errors.As(err, &known) {
		program.Check(err)
	}
	return int16(known)
}

// failure is the error of an answer that carries a number: 0 is none.
func failure(code sarama.KError) error {
	if code == sarama.ErrNoError {
		return nil
	}
	return code
}

type adminClient struct {
	sarama.ClusterAdmin
	client sarama.Client
}

func (a adminClient) createTopic(command program.Command) (program.Answer, error) {
	configs := map[string]*string{}
	for name, value := range command.Configs {
		configs[name] = &value
	}
	detail := sarama.TopicDetail{
		NumPartitions: command.Partitions, ReplicationFactor: 1, ConfigEntries: configs,
	}
	return nil, a.CreateTopic(command.Name, &detail, command.ValidateOnly)
}

func (a adminClient) describeTopic(command program.Command) (program.Answer, error) {
	topics, err := a.DescribeTopics([]string{command.Name})
	if err != nil {
		return nil, err
	}
	return program.Answer{"partitions": len(topics[0].Partitions)}, failure(topics[0].Err)
}

func (a adminClient) listTopics(program.Command) (program.Answer, error) {
	topics, err := a.ListTopics()
	names := []string{}
	for name := range topics {
		names = append(names, name)
	}
	sort.Strings(names)
	return program.Answer{"topics": names}, err
}

func (a adminClient) createPartitions(command program.Command) (program.Answer, error) {
	return nil, a.CreatePartitions(command.Name, command.Count, nil, false)
}

func (a adminClient) describeConfigs(command program.Command) (program.Answer, error) {
	entries, err := a.DescribeConfig(
		sarama.ConfigResource{Type: sarama.TopicResource, Name: command.Name},
	)
	configs := map[string]string{}
	for _, entry := range entries {
		configs[entry.Name] = entry.Value
	}
	return program.Answer{"configs": configs}, err
}

func (a adminClient) alterConfigs(command program.Command) (program.Answer, error) {
	changes := map[string]sarama.IncrementalAlterConfigsEntry{}
	for name, value := range command.Set {
		changes[name] = sarama.IncrementalAlterConfigsEntry{
			Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value,
		}
	}
	for _, name := range command.Remove {
		changes[name] = sarama.IncrementalAlterConfigsEntry{
			Operation: sarama.IncrementalAlterConfigsOperationDelete,
		}
	}
	return nil, a.IncrementalAlterConfig(sarama.TopicResource, command.Name, changes, false)
}

func (a adminClient) deleteRecords(command program.Command) (program.Answer, error) {
	return nil, a.DeleteRecords(command.Name, map[int32]int64{command.Partition: command.Offset})
}

func (a adminClient) listOffsets(command program.Command) (program.Answer, error) {
	var at int64
	switch string(command.At) {
	case `"earliest"`:
		at = sarama.OffsetOldest
	case `"latest"`:
		at = sarama.OffsetNewest
	default:
		program.Check(json.Unmarshal(command.At, &at))
	}
	offset, err := a.client.GetOffset(command.Name, command.Partition, at)
	return program.Answer{"offset": offset}, err
}

func (a adminClient) listGroups(program.Command) (program.Answer, error) {
	groups, err := a.ListConsumerGroups()
	names := []string{}
	for name := range groups {
		names = append(names, name)
	}
	sort.Strings(names)
	return program.Answer{"groups": names}, err
}

func (a adminClient) describeGroup(command program.Command) (program.Answer, error) {
	groups, err := a.DescribeConsumerGroups([]string{command.Group})
	if err != nil {
		return nil, err
	}
	group := groups[0]
	answer := program.Answer{"state": strings.ToUpper(group.State), "members": len(group.Members)}
	return answer, failure(group.Err)
}

func (a adminClient) committedOffsets(command program.Command) (program.Answer, error) {
	groups, err := a.ListConsumerGroupOffsetsBatch(
		map[string]map[string][]int32{command.Group: nil},
	)
	if err != nil {
		return nil, err
	}
	group := groups[command.Group]
	offsets := map[string]int64{}
	for topic, partitions := range group.Blocks {
		for partition, block := range partitions {
			offsets[fmt.Sprintf("%s:%d", topic, partition)] = block.Offset
		}
	}
	return program.Answer{"offsets": offsets}, failure(group.Err)
}

func (a adminClient) commitOffsets(command program.Command) (program.Answer, error) {
	offsets := map[int32]sarama.OffsetAndMetadata{}
	for partition, offset := range command.Offsets {
		offsets[partition] = sarama.OffsetAndMetadata{Offset: offset, LeaderEpoch: -1}
	}
	answer, err := a.AlterConsumerGroupOffsets(
		command.Group, map[string]map[int32]sarama.OffsetAndMetadata{command.Name: offsets}, nil,
	)
	if err != nil {
		return nil, err
	}
	for _, code := range answer.Errors[command.Name] {
		if failed := failure(code); failed != nil {
			return nil, failed
		}
	}
	return nil, nil
}

func (a adminClient) deleteGroup(command program.Command) (program.Answer, error) {
	return nil, a.DeleteConsumerGroup(command.Group)
}

func (a adminClient) deleteTopic(command program.Command) (program.Answer, error) {
	return nil, a.DeleteTopic(command.Name)
}

func (a adminClient) describeCluster(program.Command) (program.Answer, error) {
	brokers, _, err := a.DescribeCluster()
	return program.Answer{"brokers": len(brokers)}, err
}

func (a adminClient) describeLogDirs(command program.Command) (program.Answer, error) {
	brokers, _, err := a.DescribeCluster()
	if err != nil {
		return nil, err
	}
	answers, err := a.DescribeLogDirs([]int32{brokers[0].ID()})
	if err != nil {
		return nil, err
	}
	topics := []string{}
	for _, dir := range answers[brokers[0].ID()] {
		for _, topic := range dir.Topics {
			if topic.Topic == command.Name {
				topics = append(topics, topic.Topic)
			}
		}
	}
	return program.Answer{"topics": topics}, nil
}

func admin(options program.Options) {
	client, err := sarama.NewClient([]string{options.Bootstrap}, newConfig())
	program.Check(err)
	cluster, err := sarama.NewClusterAdminFromClient(client)
	program.Check(err)
	a := adminClient{cluster, client}
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
	program.Check(cluster.Close())
}

func main() {
	program.Run(map[string]func(program.Options){
		"produce": produce, "consume": consume, "group": group, "admin": admin,
	})
}
