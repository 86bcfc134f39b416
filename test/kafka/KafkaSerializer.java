import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

/**
 * What Apache Kafka's own classes say of its messages.
 *
 * `definitions` prints the definition of every message on the class path, one JSON object a line.
 * `serialize` takes lines {"name", "version", "fields"} and answers each with the message's bytes in hexadecimal;
 * binary fields are base64, UUIDs too.
 */
public final class KafkaSerializer {
    private static final ObjectMapper JSON = new ObjectMapper().enable(JsonParser.Feature.ALLOW_COMMENTS);
    private static final List<String> PACKAGES = List.of(
        "org.apache.kafka.common.message.%sData",
        "org.apache.kafka.common.message.%s",
        "org.apache.kafka.coordinator.group.generated.%s",
        "org.apache.kafka.coordinator.transaction.generated.%s");

    private final Map<String, Method> converters = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        PrintStream output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        if (arguments[0].equals("definitions")) printDefinitions(output);
        else new KafkaSerializer().serialize(output);
        output.flush();
    }

    private static void printDefinitions(PrintStream output) throws Exception {
        for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!path.endsWith(".jar")) continue;
            try (ZipFile jar = new ZipFile(path)) {
                for (ZipEntry entry : jar.stream().toList()) {
                    if (!entry.getName().matches("common/message/\\w+\\.json")) continue;
                    output.println(JSON.readTree(jar.getInputStream(entry)));
                }
            }
        }
    }

    private void serialize(PrintStream output) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JsonNode node = JSON.readTree(line);
            short version = (short) node.get("version").asInt();
            String name = node.get("name").asText();
            Method converter = converters.get(name);
            if (converter == null) converters.put(name, converter = converterOf(name));
            Message message = (Message) converter.invoke(null, node.get("fields"), version);
            ByteBuffer bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
            output.println(HexFormat.of().formatHex(bytes.array(), bytes.position(), bytes.limit()));
        }
    }

    private static Method converterOf(String name) throws Exception {
        for (String pattern : PACKAGES) {
            try {
                return Class.forName(String.format(pattern, name) + "JsonConverter")
                    .getMethod("read", JsonNode.class, short.class);
            } catch (ClassNotFoundException notThere) {
                continue;
            }
        }
        throw new ClassNotFoundException(name);
    }
}
