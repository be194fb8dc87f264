// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON as maps, lists, strings, doubles, booleans and null. */
public final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** The value of a JSON document. */
    public static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value();
        json.space();
        if (json.at < text.length()) throw json.wrong("the end");
        return value;
    }

    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(Object value, String what) {
        if (value instanceof Map) return (Map<String, Object>) value;
        throw new IllegalArgumentException(what + ": expected a JSON object");
    }

    /** One line of JSON of strings, numbers, booleans, null, maps and lists. */
    public static String write(Object value) {
        if (value instanceof Map) {
            List<String> parts = new ArrayList<>();
            ((Map<?, ?>) value).forEach((key, one) -> parts.add(quoted(String.valueOf(key)) + ": " + write(one)));
            return "{" + String.join(", ", parts) + "}";
        }
        if (value instanceof List) {
            List<String> parts = new ArrayList<>();
            ((List<?>) value).forEach(one -> parts.add(write(one)));
            return "[" + String.join(", ", parts) + "]";
        }
        return value instanceof String ? quoted((String) value) : String.valueOf(value);
    }

    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < 32) out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        return out.append('"').toString();
    }

    private Object value() {
        space();
        if (at >= text.length()) throw wrong("a value");
        char c = text.charAt(at);
        if (c == '{') return object();
        if (c == '[') return list();
        if (c == '"') return string();
        if (text.startsWith("true", at)) return word("true", true);
        if (text.startsWith("false", at)) return word("false", false);
        if (text.startsWith("null", at)) return word("null", null);
        int from = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) at++;
        try {
            return Double.parseDouble(text.substring(from, at));
        } catch (NumberFormatException error) {
            throw wrong("a value");
        }
    }

    private Object word(String word, Object value) {
        at += word.length();
        return value;
    }

    private Map<String, Object> object() {
        Map<String, Object> found = new LinkedHashMap<>();
        at++;
        space();
        if (take('}')) return found;
        do {
            space();
            String key = string();
            space();
            if (!take(':')) throw wrong("':'");
            found.put(key, value());
            space();
        } while (take(','));
        if (!take('}')) throw wrong("'}'");
        return found;
    }

    private List<Object> list() {
        List<Object> found = new ArrayList<>();
        at++;
        space();
        if (take(']')) return found;
        do {
            found.add(value());
            space();
        } while (take(','));
        if (!take(']')) throw wrong("']'");
        return found;
    }

    private String string() {
        if (!take('"')) throw wrong("a string");
        StringBuilder out = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') return out.toString();
            if (c != '\\') {
                out.append(c);
                continue;
            }
            if (at >= text.length()) break;
            char next = text.charAt(at++);
            if (next == 'u' && at + 4 <= text.length()) {
                out.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                at += 4;
            } else {
                int place = "nrtbf".indexOf(next);
                out.append(place < 0 ? next : "\n\r\t\b\f".charAt(place));
            }
        }
        throw wrong("the end of a string");
    }

    private boolean take(char c) {
        if (at >= text.length() || text.charAt(at) != c) return false;
        at++;
        return true;
    }

    private void space() {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++;
    }

    private IllegalArgumentException wrong(String expected) {
        return new IllegalArgumentException("JSON: expected " + expected + " at character " + at);
    }
}
