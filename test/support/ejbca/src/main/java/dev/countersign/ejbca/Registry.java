package dev.countersign.ejbca;

import dev.countersign.ejbca.ws.UserDataVOWS;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** End entities and certificates, and how many requests of one end entity were ever under way at a time. */
public final class Registry {
  public static final class EndEntity {
    public UserDataVOWS data;
    public int status;
  }

  public static final class Entry {
    public String username;
    public String caName;
    public String subjectDN;
    public X509Certificate certificate;
    /** -1 = not revoked. */
    public int reason = -1;
  }

  private final Map<String, EndEntity> entities = new LinkedHashMap<>();
  private final List<Entry> entries = new ArrayList<>();
  private final Map<String, Integer> active = new HashMap<>();
  private int overlap;
  private int most;

  public synchronized void enter(String username) {
    if (active.merge(username, 1, Integer::sum) > 1) overlap++;
    most = Math.max(most, active.values().stream().mapToInt(Integer::intValue).sum());
  }

  public synchronized void leave(String username) {
    active.merge(username, -1, Integer::sum);
  }

  public synchronized EndEntity entity(String username) {
    return entities.get(username);
  }

  /** Makes the end entity, or writes over it. */
  public synchronized void put(UserDataVOWS data) {
    EndEntity entity = new EndEntity();
    entity.data = data;
    entity.status = 10;
    entities.put(data.username, entity);
  }

  public synchronized void add(Entry entry) {
    entries.add(entry);
  }

  public synchronized List<Entry> of(String username) {
    return entries.stream().filter(entry -> entry.username.equals(username)).toList();
  }

  public synchronized Entry find(String issuer, String serial) {
    return entries.stream()
        .filter(entry -> sameName(entry.certificate.getIssuerX500Principal().getName(), issuer))
        .filter(entry -> entry.certificate.getSerialNumber().equals(new java.math.BigInteger(serial, 16)))
        .findFirst()
        .orElse(null);
  }

  public synchronized boolean hasSubjectOfAnother(UserDataVOWS data) {
    return entries.stream()
        .anyMatch(
            entry ->
                !entry.username.equals(data.username)
                    && entry.caName.equals(data.caName)
                    && !data.subjectDN.isEmpty()
                    && sameName(entry.subjectDN, data.subjectDN));
  }

  public synchronized boolean hasKeyOfAnother(UserDataVOWS data, byte[] spki) {
    return entries.stream()
        .anyMatch(
            entry ->
                !entry.username.equals(data.username)
                    && entry.caName.equals(data.caName)
                    && Arrays.equals(entry.certificate.getPublicKey().getEncoded(), spki));
  }

  public static boolean sameName(String one, String other) {
    return parts(one).equals(parts(other));
  }

  private static TreeSet<String> parts(String name) {
    TreeSet<String> parts = new TreeSet<>();
    for (String part : name.split("(?<!\\\\),")) parts.add(part.strip().toLowerCase());
    return parts;
  }

  public synchronized String json() throws Exception {
    StringBuilder text = new StringBuilder("{\"overlap\":" + overlap + ",\"most\":" + most + ",\"certificates\":[");
    for (int i = 0; i < entries.size(); i++) {
      Entry entry = entries.get(i);
      text.append(i == 0 ? "" : ",")
          .append("{\"username\":").append(Json.quote(entry.username))
          .append(",\"caName\":").append(Json.quote(entry.caName))
          .append(",\"reason\":").append(entry.reason)
          .append(",\"der\":").append(Json.quote(Json.base64(entry.certificate.getEncoded())))
          .append("}");
    }
    text.append("],\"entities\":[");
    List<EndEntity> all = new ArrayList<>(entities.values());
    for (int i = 0; i < all.size(); i++) {
      UserDataVOWS data = all.get(i).data;
      text.append(i == 0 ? "" : ",")
          .append("{\"username\":").append(Json.quote(data.username))
          .append(",\"status\":").append(all.get(i).status)
          .append(",\"subjectDN\":").append(Json.quote(data.subjectDN))
          .append("}");
    }
    return text.append("]}").toString();
  }
}
