// What this machine can do at best, in C++ that shares nothing with the storage core: copying,
// CRC32C, storing into a file through a mapping and through pwrite, fdatasync, and moving bytes
// over loopback TCP into a file and out of one. A benchmark can then say "so many per cent of the
// hardware". And what a file takes of the page cache. Every function blocks its thread until it is
// done.
// Types and units are in roofline.d.mts.
#include <napi.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#if defined(__linux__)
#include <sys/sendfile.h>
#endif
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#else
#error "the roofline needs the CRC32C instructions of x86-64 or ARMv8"
#endif

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kChunkBytes = 1 << 20;
constexpr size_t kAheadBytes = 8 << 20;
constexpr size_t kBytesMax = size_t{1} << 34;
constexpr uint32_t kPauseMsMax = 1'000;
constexpr uint32_t kRoundsMax = 1'000'000;

double secondsSince(Clock::time_point start) {
	return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- CRC32C ---------------------------------------------------------------------------------

inline uint64_t crcWord(uint64_t state, uint64_t word) {
#if defined(__x86_64__)
	return _mm_crc32_u64(state, word);
#else
	return __crc32cd(static_cast<uint32_t>(state), word);
#endif
}

inline uint32_t crcByte(uint32_t state, uint8_t byte) {
#if defined(__x86_64__)
	return _mm_crc32_u8(state, byte);
#else
	return __crc32cb(state, byte);
#endif
}

inline uint64_t loadWord(const uint8_t* from) {
	uint64_t word;
	std::memcpy(&word, from, sizeof word);
	return word;
}

uint32_t crcSerial(uint32_t state, const uint8_t* from, size_t bytes) {
	uint64_t wide = state;
	for (; bytes >= 8; bytes -= 8, from += 8) wide = crcWord(wide, loadWord(from));
	state = static_cast<uint32_t>(wide);
	for (; bytes > 0; --bytes, ++from) state = crcByte(state, *from);
	return state;
}

// The instruction has a latency of three cycles and a throughput of one, so three lanes are
// computed side by side and joined. A state moves over the zero bytes of a lane by one look-up per
// byte.
constexpr size_t kLaneBytes = 4096;

class LaneShift {
public:
	LaneShift() {
		const std::vector<uint8_t> zeros(kLaneBytes, 0);
		std::array<uint32_t, 32> shiftedBits{};
		for (size_t bit = 0; bit < 32; ++bit) {
			shiftedBits[bit] = crcSerial(uint32_t{1} << bit, zeros.data(), zeros.size());
		}
		for (size_t position = 0; position < 4; ++position) {
			for (size_t byte = 0; byte < 256; ++byte) {
				uint32_t shifted = 0;
				for (size_t bit = 0; bit < 8; ++bit) {
					if (byte >> bit & 1) shifted ^= shiftedBits[position * 8 + bit];
				}
				table_[position][byte] = shifted;
			}
		}
	}

	uint32_t operator()(uint32_t state) const {
		return table_[0][state & 0xff] ^ table_[1][state >> 8 & 0xff] ^
			table_[2][state >> 16 & 0xff] ^ table_[3][state >> 24];
	}

private:
	std::array<std::array<uint32_t, 256>, 4> table_{};
};

uint32_t crc32c(const uint8_t* from, size_t bytes) {
	static const LaneShift shift;
	uint32_t state = 0xffffffff;
	for (; bytes >= 3 * kLaneBytes; bytes -= 3 * kLaneBytes, from += 3 * kLaneBytes) {
		uint64_t first = state, second = 0, third = 0;
		for (size_t at = 0; at < kLaneBytes; at += 8) {
			first = crcWord(first, loadWord(from + at));
			second = crcWord(second, loadWord(from + kLaneBytes + at));
			third = crcWord(third, loadWord(from + 2 * kLaneBytes + at));
		}
		state = shift(shift(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second)) ^
			static_cast<uint32_t>(third);
	}
	return ~crcSerial(state, from, bytes);
}

// ---- files ----------------------------------------------------------------------------------

[[noreturn]] void throwErrno(const char* call, const std::string& path) {
	throw std::system_error(errno, std::generic_category(), std::string(call) + " " + path);
}

// A new file that is closed and removed at the end. The path must not exist: nothing is
// overwritten.
class ScratchFile {
public:
	ScratchFile(std::string path, size_t bytes) : path_(std::move(path)) {
		descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (descriptor_ < 0) throwErrno("open", path_);
		if (const int error = allocate(bytes); error != 0) {
			close(descriptor_);
			unlink(path_.c_str());
			errno = error;
			throwErrno("allocate", path_);
		}
	}
	~ScratchFile() {
		close(descriptor_);
		unlink(path_.c_str());
	}
	ScratchFile(const ScratchFile&) = delete;
	ScratchFile& operator=(const ScratchFile&) = delete;

	int descriptor() const { return descriptor_; }
	const std::string& path() const { return path_; }

	void write(const uint8_t* from, size_t bytes, size_t at) const {
		while (bytes > 0) {
			const ssize_t written = pwrite(descriptor_, from, bytes, static_cast<off_t>(at));
			if (written < 0 && errno == EINTR) continue;
			if (written < 0) throwErrno("pwrite", path_);
			from += written;
			at += static_cast<size_t>(written);
			bytes -= static_cast<size_t>(written);
		}
	}

	void syncData() const {
#if defined(__APPLE__)
		if (fcntl(descriptor_, F_FULLFSYNC) != 0) throwErrno("F_FULLFSYNC", path_);
#else
		if (fdatasync(descriptor_) != 0) throwErrno("fdatasync", path_);
#endif
	}

private:
	int allocate(size_t bytes) const {
		if (bytes == 0) return 0;
#if defined(__APPLE__)
		return ftruncate(descriptor_, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
#else
		return posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes));
#endif
	}

	std::string path_;
	int descriptor_;
};

// A file that grows as a log does: from nothing, by what comes, its end not known. Blocks are
// allocated a little ahead of what is written, which is what a log can do at best: on ext4 pwrite
// needs a third less of the processor so than where each write finds its blocks (0.13 s/GiB against
// 0.20), and no more than in a file that was allocated whole before the clock started.
class GrowingFile {
public:
	explicit GrowingFile(std::string path) : file_(std::move(path), 0) {}

	void write(const uint8_t* from, size_t bytes, size_t at) {
		while (at + bytes > allocatedBytes_) allocateAhead();
		file_.write(from, bytes, at);
	}

private:
	void allocateAhead() {
#if defined(__linux__)
		const auto from = static_cast<off_t>(allocatedBytes_);
		if (fallocate(file_.descriptor(), FALLOC_FL_KEEP_SIZE, from, kAheadBytes) != 0 &&
				errno != EOPNOTSUPP) {
			throwErrno("fallocate", file_.path());
		}
#endif
		allocatedBytes_ += kAheadBytes;
	}

	ScratchFile file_;
	size_t allocatedBytes_ = 0;
};

// A file that is there, closed at the end. It is opened for writing: of one that the caller neither
// owns nor may write the kernel would say that all of it is in the page cache.
class ExistingFile {
public:
	explicit ExistingFile(std::string path) : path_(std::move(path)) {
		descriptor_ = open(path_.c_str(), O_RDWR | O_CLOEXEC);
		if (descriptor_ < 0) throwErrno("open", path_);
	}
	~ExistingFile() { close(descriptor_); }
	ExistingFile(const ExistingFile&) = delete;
	ExistingFile& operator=(const ExistingFile&) = delete;

	int descriptor() const { return descriptor_; }
	const std::string& path() const { return path_; }

	size_t bytes() const {
		struct stat status {};
		if (fstat(descriptor_, &status) != 0) throwErrno("fstat", path_);
		return static_cast<size_t>(status.st_size);
	}

private:
	std::string path_;
	int descriptor_;
};

class Mapping {
public:
	template <typename File>
	Mapping(const File& file, size_t bytes) : bytes_(bytes) {
		address_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor(), 0);
		if (address_ == MAP_FAILED) throwErrno("mmap", file.path());
	}
	~Mapping() { munmap(address_, bytes_); }
	Mapping(const Mapping&) = delete;
	Mapping& operator=(const Mapping&) = delete;

	uint8_t* data() const { return static_cast<uint8_t*>(address_); }

private:
	void* address_;
	size_t bytes_;
};

// ---- loopback TCP ---------------------------------------------------------------------------

// What a sender has under way before it waits for an ack, about what a Kafka client or a WebSocket
// producer has. Without acks the sender fills the socket's buffers with megabytes: their bytes have
// left the caches when they are read, and the reader, by opening the window, sends the next ones in
// its own time. That cost up to twice as much, for a load that no log has.
constexpr size_t kRequestBytes = 128 << 10;
constexpr size_t kRequestsInFlight = 8;
// What a reader has asked for and not got, in answers of kChunkBytes, for the same reasons.
constexpr size_t kAnswersInFlight = 2;

// A connection over loopback: both ends in this process, closed at the end.
class Loopback {
public:
	Loopback() {
		const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (listener < 0) throwErrno("socket", "listener");
		sockaddr_in address{};
		socklen_t addressBytes = sizeof address;
		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		auto* const generic = reinterpret_cast<sockaddr*>(&address);
		const bool listens = bind(listener, generic, addressBytes) == 0 &&
			listen(listener, 1) == 0 && getsockname(listener, generic, &addressBytes) == 0;
		// Loopback completes a connection in the listener's backlog, before it is accepted.
		if (listens) client_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (client_ >= 0 && connect(client_, generic, addressBytes) == 0) {
			server_ = accept(listener, nullptr, nullptr);
		}
		const int error = errno;
		close(listener);
		if (server_ >= 0) return;
		if (client_ >= 0) close(client_);
		errno = error;
		throwErrno("connect", "127.0.0.1");
	}
	~Loopback() {
		close(client_);
		close(server_);
	}
	Loopback(const Loopback&) = delete;
	Loopback& operator=(const Loopback&) = delete;

	int client() const { return client_; }
	int server() const { return server_; }

private:
	int client_ = -1;
	int server_ = -1;
};

// Sends everything; false when the other end is gone.
bool sendAll(int socket, const uint8_t* from, size_t bytes) {
	while (bytes > 0) {
		const ssize_t sent = send(socket, from, bytes, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR) continue;
		if (sent <= 0) return false;
		from += sent;
		bytes -= static_cast<size_t>(sent);
	}
	return true;
}

// Bytes received, at most `most`; 0 when the other end is gone.
size_t receiveSome(int socket, uint8_t* to, size_t most) {
	for (;;) {
		const ssize_t received = recv(socket, to, most, 0);
		if (received < 0 && errno == EINTR) continue;
		return received < 0 ? 0 : static_cast<size_t>(received);
	}
}

double threadCpuSeconds() {
	timespec time{};
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

// Runs `other` beside `work`, which is this thread's and whose CPU time counts; ends the connection
// before it waits for the other thread, so that neither can wait for the other for ever.
template <typename Work, typename Other>
Napi::Object measureLoopback(Napi::Env env, size_t bytes, Work work, Other other) {
	const Loopback loopback;
	const auto start = Clock::now();
	std::thread thread([&] { other(loopback.client()); });
	const double cpuBefore = threadCpuSeconds();
	bool isWhole = false;
	try {
		isWhole = work(loopback.server());
	} catch (...) {
		shutdown(loopback.server(), SHUT_RDWR);
		thread.join();
		throw;
	}
	const double cpuSeconds = threadCpuSeconds() - cpuBefore;
	shutdown(loopback.server(), SHUT_WR);
	thread.join();
	const double seconds = secondsSince(start);
	if (!isWhole) throw std::runtime_error("the loopback connection ended early");
	auto result = Napi::Object::New(env);
	result.Set("bytesPerSecond", double(bytes) / seconds);
	result.Set("cpuSecondsPerGib", cpuSeconds / double(bytes) * double(size_t{1} << 30));
	return result;
}

// ---- arguments ------------------------------------------------------------------------------

double numberArgument(const Napi::CallbackInfo& info, size_t index, double max, const char* name) {
	const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : 0;
	if (!(value >= 1 && value <= max)) {
		throw Napi::RangeError::New(info.Env(), std::string(name) + " is out of range");
	}
	return value;
}

size_t bytesArgument(const Napi::CallbackInfo& info, size_t index) {
	return static_cast<size_t>(numberArgument(info, index, kBytesMax, "bytes"));
}

uint32_t roundsArgument(const Napi::CallbackInfo& info, size_t index) {
	return static_cast<uint32_t>(numberArgument(info, index, kRoundsMax, "rounds"));
}

// 0 where it is left out.
uint32_t pauseArgument(const Napi::CallbackInfo& info, size_t index) {
	if (info[index].IsUndefined()) return 0;
	const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
	if (!(value >= 0 && value <= kPauseMsMax)) {
		throw Napi::RangeError::New(info.Env(), "pause is out of range");
	}
	return static_cast<uint32_t>(value);
}

std::string pathArgument(const Napi::CallbackInfo& info) {
	if (!info[0].IsString()) throw Napi::TypeError::New(info.Env(), "path is a string");
	return info[0].As<Napi::String>().Utf8Value();
}

// Bytes that no file system can compress or leave out.
std::vector<uint8_t> noise(size_t bytes) {
	std::vector<uint8_t> result(bytes);
	uint64_t state = 0x9e3779b97f4a7c15;
	for (auto& byte : result) {
		state = state * 6364136223846793005 + 1442695040888963407;
		byte = static_cast<uint8_t>(state >> 56);
	}
	return result;
}

// Keeps the compiler from dropping work whose result nobody reads.
volatile uint32_t sink;

// A failed system call becomes a JavaScript error instead of ending the process.
template <Napi::Value (*Measure)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
	try {
		return Measure(info);
	} catch (const Napi::Error&) {
		throw;
	} catch (const std::exception& error) {
		throw Napi::Error::New(info.Env(), error.what());
	}
}

// ---- measurements ---------------------------------------------------------------------------

Napi::Value measureCrc32c(const Napi::CallbackInfo& info) {
	if (!info[0].IsTypedArray()) throw Napi::TypeError::New(info.Env(), "data is a Uint8Array");
	const auto data = info[0].As<Napi::Uint8Array>();
	return Napi::Number::New(info.Env(), crc32c(data.Data(), data.ByteLength()));
}

Napi::Value measureCrc32cRate(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 0);
	const uint32_t rounds = roundsArgument(info, 1);
	const auto source = noise(bytes);
	sink = crc32c(source.data(), bytes);
	const auto start = Clock::now();
	for (uint32_t round = 0; round < rounds; ++round) sink = crc32c(source.data(), bytes);
	return Napi::Number::New(info.Env(), double(bytes) * rounds / secondsSince(start));
}

Napi::Value measureCopyRate(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 0);
	const uint32_t rounds = roundsArgument(info, 1);
	const auto source = noise(bytes);
	std::vector<uint8_t> target(bytes, 1);
	const auto start = Clock::now();
	for (uint32_t round = 0; round < rounds; ++round) {
		std::memcpy(target.data(), source.data(), bytes);
		sink = target[round % bytes];
	}
	return Napi::Number::New(info.Env(), double(bytes) * rounds / secondsSince(start));
}

// Stores `bytes` in chunks of 1 MiB through `store(from, bytes, at)`; returns bytes per second.
template <typename Store>
double storeRate(size_t bytes, bool withCrc, const std::vector<uint8_t>& source, Store store) {
	const auto start = Clock::now();
	for (size_t at = 0; at < bytes; at += kChunkBytes) {
		const size_t chunkBytes = std::min(kChunkBytes, bytes - at);
		if (withCrc) sink = crc32c(source.data(), chunkBytes);
		store(source.data(), chunkBytes, at);
	}
	return double(bytes) / secondsSince(start);
}

Napi::Object storeRates(Napi::Env env, double firstRate, double againRate) {
	auto result = Napi::Object::New(env);
	result.Set("firstBytesPerSecond", firstRate);
	result.Set("againBytesPerSecond", againRate);
	return result;
}

Napi::Value measureMappedStore(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 1);
	const bool withCrc = info[2].ToBoolean();
	const auto source = noise(kChunkBytes);
	const ScratchFile file(pathArgument(info), bytes);
	const Mapping mapping(file, bytes);
	const auto store = [&](const uint8_t* from, size_t chunkBytes, size_t at) {
		std::memcpy(mapping.data() + at, from, chunkBytes);
	};
	const double first = storeRate(bytes, withCrc, source, store);
	return storeRates(info.Env(), first, storeRate(bytes, withCrc, source, store));
}

Napi::Value measurePwriteStore(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 1);
	const bool withCrc = info[2].ToBoolean();
	const auto source = noise(kChunkBytes);
	GrowingFile file(pathArgument(info));
	const auto store = [&](const uint8_t* from, size_t chunkBytes, size_t at) {
		file.write(from, chunkBytes, at);
	};
	const double first = storeRate(bytes, withCrc, source, store);
	return storeRates(info.Env(), first, storeRate(bytes, withCrc, source, store));
}

Napi::Value measureSyncLatency(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 1);
	const uint32_t rounds = roundsArgument(info, 2);
	const auto pause = std::chrono::milliseconds(pauseArgument(info, 3));
	if (double(bytes) * rounds > double(kBytesMax)) {
		throw Napi::RangeError::New(info.Env(), "bytes times rounds is out of range");
	}
	const auto source = noise(bytes);
	const ScratchFile file(pathArgument(info), bytes * rounds);
	file.syncData();
	auto result = Napi::Float64Array::New(info.Env(), rounds);
	for (uint32_t round = 0; round < rounds; ++round) {
		std::this_thread::sleep_for(pause);
		const auto start = Clock::now();
		file.write(source.data(), bytes, size_t{round} * bytes);
		file.syncData();
		result[round] = secondsSince(start) * 1e6;
	}
	return result;
}

// Asking changes nothing: a mapping that nobody touches brings no page in.
#if defined(__linux__)
Napi::Value measureResidentBytes(const Napi::CallbackInfo& info) {
	const ExistingFile file(pathArgument(info));
	const size_t bytes = file.bytes();
	if (bytes == 0) return Napi::Number::New(info.Env(), 0);
	const Mapping mapping(file, bytes);
	const auto pageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
	std::vector<unsigned char> pages((bytes - 1) / pageBytes + 1);
	if (mincore(mapping.data(), bytes, pages.data()) != 0) throwErrno("mincore", file.path());
	const auto resident = std::count_if(
		pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
	return Napi::Number::New(info.Env(), double(resident) * double(pageBytes));
}
#else
Napi::Value measureResidentBytes(const Napi::CallbackInfo& info) { return info.Env().Null(); }
#endif

// Sends requests, so many at a time; the other end acks each with a byte. Ends where that is gone.
void sendRequests(int socket, size_t bytes) {
	const auto source = noise(kRequestBytes);
	std::array<uint8_t, kRequestsInFlight> acks{};
	size_t unacked = 0;
	for (size_t left = bytes; left > 0;) {
		if (unacked == kRequestsInFlight) {
			const size_t acked = receiveSome(socket, acks.data(), unacked);
			if (acked == 0) return;
			unacked -= acked;
		}
		const size_t requestBytes = std::min(source.size(), left);
		if (!sendAll(socket, source.data(), requestBytes)) return;
		left -= requestBytes;
		++unacked;
	}
}

// What a log has to do with bytes that come: take as many as are there, check them, store them
// behind those before, answer every request that is stored. The file's pages are touched for the
// first time, as a log's are. That it is one file makes no difference: with a new one every 256 MiB
// the same came out.
Napi::Value measureLoopbackReceive(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 1);
	GrowingFile file(pathArgument(info));
	std::vector<uint8_t> buffer(kChunkBytes);
	const std::array<uint8_t, kRequestsInFlight + 1> acks{};
	const auto store = [&](int socket) {
		for (size_t at = 0, acked = 0; at < bytes;) {
			const size_t most = std::min(buffer.size(), bytes - at);
			const size_t received = receiveSome(socket, buffer.data(), most);
			if (received == 0) return false;
			sink = crc32c(buffer.data(), received);
			file.write(buffer.data(), received, at);
			at += received;
			const size_t whole = at / kRequestBytes;
			if (!sendAll(socket, acks.data(), whole - acked)) return false;
			acked = whole;
		}
		return true;
	};
	return measureLoopback(
		info.Env(), bytes, store, [&](int socket) { sendRequests(socket, bytes); });
}

// Asks for answers, each with a byte, and looks at every word of them, as clients do. Ends where
// the other end is gone.
void askForAnswers(int socket) {
	const std::array<uint8_t, kAnswersInFlight> asks{};
	std::vector<uint8_t> buffer(kChunkBytes);
	uint64_t all = 0;
	size_t receivedBytes = 0;
	for (size_t asked = 0;;) {
		const size_t wanted = receivedBytes / kChunkBytes + kAnswersInFlight;
		if (!sendAll(socket, asks.data(), wanted - asked)) break;
		asked = wanted;
		const size_t received = receiveSome(socket, buffer.data(), buffer.size());
		if (received == 0) break;
		receivedBytes += received;
		for (size_t at = 0; at + 8 <= received; at += 8) all ^= loadWord(buffer.data() + at);
	}
	sink = static_cast<uint32_t>(all);
}

// Serves a file in the page cache by `send(socket, at, bytes)`, 1 MiB an answer: with 64 KiB most
// of the time goes into waking the receiver.
template <typename Send>
Napi::Object measureServing(Napi::Env env, const ScratchFile& file, size_t bytes, Send send) {
	const auto source = noise(kChunkBytes);
	for (size_t at = 0; at < bytes; at += source.size()) {
		file.write(source.data(), std::min(source.size(), bytes - at), at);
	}
	const auto serve = [&](int socket) {
		std::array<uint8_t, kAnswersInFlight> asks{};
		for (size_t at = 0, asked = 0; at < bytes; at += kChunkBytes, --asked) {
			if (asked == 0) asked = receiveSome(socket, asks.data(), asks.size());
			if (asked == 0 || !send(socket, at, std::min(kChunkBytes, bytes - at))) return false;
		}
		return true;
	};
	return measureLoopback(env, bytes, serve, askForAnswers);
}

Napi::Value measureLoopbackSend(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 1);
	const ScratchFile file(pathArgument(info), bytes);
	const Mapping mapping(file, bytes);
	return measureServing(info.Env(), file, bytes, [&](int socket, size_t at, size_t chunkBytes) {
		return sendAll(socket, mapping.data() + at, chunkBytes);
	});
}

#if defined(__linux__)
Napi::Value measureLoopbackSendfile(const Napi::CallbackInfo& info) {
	const size_t bytes = bytesArgument(info, 1);
	const ScratchFile file(pathArgument(info), bytes);
	return measureServing(info.Env(), file, bytes, [&](int socket, size_t at, size_t chunkBytes) {
		for (auto from = static_cast<off_t>(at); chunkBytes > 0;) {
			const ssize_t sent = sendfile(socket, file.descriptor(), &from, chunkBytes);
			if (sent < 0 && errno == EINTR) continue;
			if (sent <= 0) return false;
			chunkBytes -= static_cast<size_t>(sent);
		}
		return true;
	});
}
#else
Napi::Value measureLoopbackSendfile(const Napi::CallbackInfo& info) { return info.Env().Null(); }
#endif

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
	exports.Set("crc32c", Napi::Function::New<guarded<measureCrc32c>>(env, "crc32c"));
	exports.Set("crc32cRate", Napi::Function::New<guarded<measureCrc32cRate>>(env, "crc32cRate"));
	exports.Set("copyRate", Napi::Function::New<guarded<measureCopyRate>>(env, "copyRate"));
	exports.Set("mappedStore", Napi::Function::New<guarded<measureMappedStore>>(env, "mappedStore"));
	exports.Set("pwriteStore", Napi::Function::New<guarded<measurePwriteStore>>(env, "pwriteStore"));
	exports.Set("syncLatency", Napi::Function::New<guarded<measureSyncLatency>>(env, "syncLatency"));
	exports.Set(
		"residentBytes", Napi::Function::New<guarded<measureResidentBytes>>(env, "residentBytes"));
	exports.Set(
		"loopbackReceive",
		Napi::Function::New<guarded<measureLoopbackReceive>>(env, "loopbackReceive"));
	exports.Set(
		"loopbackSend", Napi::Function::New<guarded<measureLoopbackSend>>(env, "loopbackSend"));
	exports.Set(
		"loopbackSendfile",
		Napi::Function::New<guarded<measureLoopbackSendfile>>(env, "loopbackSendfile"));
	return exports;
}

}  // namespace

NODE_API_MODULE(roofline, initialize)
