package dev.countersign.ejbca;

import dev.countersign.ejbca.ws.Certificate;
import dev.countersign.ejbca.ws.CertificateResponse;
import dev.countersign.ejbca.ws.EjbcaWS;
import dev.countersign.ejbca.ws.Faults;
import dev.countersign.ejbca.ws.NameAndId;
import dev.countersign.ejbca.ws.UserDataVOWS;
import jakarta.annotation.Resource;
import jakarta.jws.WebService;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.xml.ws.WebServiceContext;
import jakarta.xml.ws.handler.MessageContext;
import java.security.cert.X509Certificate;
import java.text.ParseException;
import java.text.SimpleDateFormat;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;

/** EJBCA as a client of certificates meets it: end entities with a status, unique subjects and keys, profiles with limits, faults. */
@WebService(
    name = "EjbcaWS",
    serviceName = "EjbcaWSService",
    portName = "EjbcaWSPort",
    targetNamespace = EjbcaWS.NS,
    endpointInterface = "dev.countersign.ejbca.ws.EjbcaWS")
public class EjbcaService implements EjbcaWS {
  /** End entity profiles: number, most DNS names, most addresses. */
  record Profile(int id, int dnsNames, int addresses) {}

  static final Map<String, Profile> PROFILES = Map.of("ACME", new Profile(201, 100, 10), "NARROW", new Profile(202, 2, 0));
  /** Certificate profiles: days of validity. */
  static final Map<String, Integer> CERTIFICATE_PROFILES = Map.of("SERVER", 7, "OVERRIDE", 365, "APPROVAL", 7);
  private static final long DAY = 86_400_000L;
  private static final long BACKDATE = 600_000L;
  private static final int NEW = 10;
  private static final int GENERATED = 40;

  @Resource private WebServiceContext context;

  private final Map<String, Authority> authorities;
  private final Registry registry;
  private final Supplier<Behaviour> behaviour;

  public EjbcaService(Map<String, Authority> authorities, Registry registry, Supplier<Behaviour> behaviour) {
    this.authorities = authorities;
    this.registry = registry;
    this.behaviour = behaviour;
  }

  private HttpServletRequest request() {
    return (HttpServletRequest) context.getMessageContext().get(MessageContext.SERVLET_REQUEST);
  }

  /** The role's only member is the certificate with this common name. */
  private boolean isAdministrator() {
    X509Certificate[] peer = (X509Certificate[]) request().getAttribute("jakarta.servlet.request.X509Certificate");
    return peer != null && peer[0].getSubjectX500Principal().getName().matches("(.*,)?CN=operator(,.*)?");
  }

  private void authorize() throws Faults.AuthorizationDenied {
    if (!isAdministrator()) throw new Faults.AuthorizationDenied("Admin was not authorized to resource /administrator.");
  }

  @Override
  public CertificateResponse certificateRequest(
      UserDataVOWS user, String requestData, int requestType, String hardTokenSN, String responseType)
      throws Faults.AuthorizationDenied, Faults.NotFound, Faults.UserDoesntFullfill, Faults.Approval, Faults.Ejbca {
    authorize();
    if (user == null || user.username == null || user.username.isBlank())
      throw new Faults.Ejbca("INTERNAL_ERROR", "java.lang.NullPointerException: user data");
    Behaviour now = behaviour.get();
    registry.enter(user.username);
    try {
      throwFault(now);
      if (user.subjectDN == null) user.subjectDN = "";
      Authority ca = checkSettings(user);
      checkNames(user);
      return issue(user, ca, read(requestData, requestType), responseType, now);
    } finally {
      registry.leave(user.username);
    }
  }

  private void throwFault(Behaviour now)
      throws Faults.AuthorizationDenied, Faults.NotFound, Faults.UserDoesntFullfill, Faults.Approval, Faults.Ejbca {
    if (!now.is("fault") || !now.takes("fault")) return;
    String code = now.text("code");
    String message = now.text("message");
    switch (now.text("fault")) {
      case "AuthorizationDenied" -> throw new Faults.AuthorizationDenied(message);
      case "UserDoesntFullfill" -> throw new Faults.UserDoesntFullfill(message);
      case "Approval" -> throw new Faults.Approval(code, message);
      case "NotFound" -> throw new Faults.NotFound(code, message);
      case "Runtime" -> throw new IllegalStateException(message);
      default -> throw new Faults.Ejbca(code, message);
    }
  }

  private Authority checkSettings(UserDataVOWS user) throws Faults.Approval, Faults.Ejbca {
    Authority ca = authorities.get(user.caName);
    if (ca == null) throw new Faults.Ejbca("CA_NOT_EXISTS", "CA with name " + user.caName + " does not exist");
    if (!PROFILES.containsKey(user.endEntityProfileName))
      throw new Faults.Ejbca("EE_PROFILE_NOT_EXISTS", "End Entity Profile " + user.endEntityProfileName + " does not exist.");
    if (!CERTIFICATE_PROFILES.containsKey(user.certificateProfileName))
      throw new Faults.Ejbca("CERT_PROFILE_NOT_EXISTS", "Certificate profile " + user.certificateProfileName + " does not exist");
    if (user.certificateProfileName.equals("APPROVAL"))
      throw new Faults.Approval(null, "org.ejbca.core.model.approval.ApprovalException: Single transaction enrollment request rejected by certificate profile approvals.");
    if (!"USERGENERATED".equals(user.tokenType))
      throw new Faults.Ejbca("UNKOWN_TOKEN_TYPE", "Unknown token type " + user.tokenType);
    if (user.status != NEW) throw new Faults.Ejbca("USER_WRONG_STATUS", "wrong status " + user.status);
    return ca;
  }

  private void checkNames(UserDataVOWS user) throws Faults.UserDoesntFullfill {
    Profile profile = PROFILES.get(user.endEntityProfileName);
    List<GeneralName> names;
    try {
      names = Issuance.names(user.subjectAltName == null ? "" : user.subjectAltName);
    } catch (Exception e) {
      throw new Faults.UserDoesntFullfill(
          "org.ejbca.core.model.ra.raadmin.EndEntityProfileValidationException: " + e.getMessage());
    }
    long dns = names.stream().filter(name -> name.getTagNo() == GeneralName.dNSName).count();
    long addresses = names.stream().filter(name -> name.getTagNo() == GeneralName.iPAddress).count();
    if (dns > profile.dnsNames())
      throw new Faults.UserDoesntFullfill("Wrong number of DNSNAME fields in Subject Alternative Name.");
    if (addresses > profile.addresses())
      throw new Faults.UserDoesntFullfill("Wrong number of IPADDRESS fields in Subject Alternative Name.");
    if (names.stream().anyMatch(name -> name.getName().toString().startsWith("refused.")))
      throw new Faults.UserDoesntFullfill(
          "org.ejbca.core.model.ra.raadmin.EndEntityProfileValidationException: names that begin with \"refused\" are not\r\nsigned \u202ehere");
  }

  private static PKCS10CertificationRequest read(String data, int type) throws Faults.Ejbca {
    if (type != 0) throw new Faults.Ejbca("BAD_REQUEST", "Unsupported request type " + type);
    try {
      String text = data.replaceAll("-----[^-]+-----", "");
      PKCS10CertificationRequest csr = new PKCS10CertificationRequest(Base64.getMimeDecoder().decode(text));
      if (csr.isSignatureValid(new JcaContentVerifierProviderBuilder().setProvider("BC").build(csr.getSubjectPublicKeyInfo()))) return csr;
    } catch (Exception e) {
      throw new Faults.Ejbca("BAD_REQUEST", "java.io.IOException: no PKCS#10 request: " + e.getMessage());
    }
    throw new Faults.Ejbca("SIGNATURE_ERROR", "POP verification failed.");
  }

  private CertificateResponse issue(
      UserDataVOWS user, Authority ca, PKCS10CertificationRequest csr, String responseType, Behaviour now)
      throws Faults.Ejbca {
    SubjectPublicKeyInfo key = csr.getSubjectPublicKeyInfo();
    try {
      if (registry.hasKeyOfAnother(user, key.getEncoded()))
        throw new Faults.Ejbca("CERTIFICATE_FOR_THIS_KEY_ALREADY_EXISTS_FOR_ANOTHER_USER",
            "User '" + user.username + "' is not allowed to use same key as another user is using.");
      if (registry.hasSubjectOfAnother(user))
        throw new Faults.Ejbca("CERTIFICATE_WITH_THIS_SUBJECTDN_ALREADY_EXISTS_FOR_ANOTHER_USER",
            "User '" + user.username + "' is not allowed to use same subject DN as the user(s) 'other' is/are using.");
      Date[] validity = validity(user);
      // The transaction would be rolled back.
      if (!Set.of("CERTIFICATE", "PKCS7WITHCHAIN").contains(String.valueOf(responseType)))
        throw new Faults.Ejbca("INTERNAL_ERROR", "Invalid responseType: " + responseType);
      // Between the edit of the end entity and its use another request may edit it too.
      registry.put(user);
      Thread.sleep(now.number("window", 5));
      Registry.EndEntity entity = registry.entity(user.username);
      if (entity.data != user) throw new Faults.Ejbca("LOGIN_ERROR", "Got request with incorrect password for user " + user.username);
      if (entity.status != NEW) throw new Faults.Ejbca("USER_WRONG_STATUS", "Got request with status GENERATED (40), NEW, FAILED or INPROCESS required: " + user.username + ".");
      int copies = now.is("twice") ? 2 : 1;
      Issuance.Signed signed = null;
      for (int i = 0; i < copies; i++) {
        signed = Issuance.sign(ca, user, key, validity, now.is("wrong") ? now.text("what") : "");
        Registry.Entry entry = new Registry.Entry();
        entry.username = user.username;
        entry.caName = user.caName;
        entry.subjectDN = user.subjectDN;
        entry.certificate = signed.leaf();
        registry.add(entry);
      }
      entity.status = GENERATED;
      if (now.is("slow")) Thread.sleep(now.number("ms", 1000));
      if (now.is("lose") && now.takes("lose")) RawFilter.close(request());
      byte[] data =
          responseType.equals("CERTIFICATE") ? signed.leaf().getEncoded() : Issuance.pkcs7(ca, signed.all());
      return new CertificateResponse(responseType, twice(data));
    } catch (Faults.Ejbca fault) {
      throw fault;
    } catch (Exception e) {
      throw new Faults.Ejbca("INTERNAL_ERROR", e.toString());
    }
  }

  private Date[] validity(UserDataVOWS user) throws Faults.Ejbca {
    long now = System.currentTimeMillis() / 1000 * 1000;
    Date start = new Date(now - BACKDATE);
    Date end = new Date(start.getTime() + CERTIFICATE_PROFILES.get(user.certificateProfileName) * DAY);
    if (user.startTime == null && user.endTime == null) return new Date[] {start, end};
    if (!user.certificateProfileName.equals("OVERRIDE"))
      throw new Faults.Ejbca("_FIELD_VALUE_NOT_VALID", "Certificate profile does not allow validity override.");
    Date wantedStart = user.startTime == null ? start : time(user.startTime);
    Date wantedEnd = user.endTime == null ? end : time(user.endTime);
    return new Date[] {wantedStart, wantedEnd.before(end) ? wantedEnd : end};
  }

  private static Date time(String text) throws Faults.Ejbca {
    try {
      SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd HH:mm:ssXXX");
      format.setLenient(false);
      return format.parse(text);
    } catch (ParseException e) {
      throw new Faults.Ejbca("BAD_VALIDITY_FORMAT", "no time: " + text);
    }
  }

  /** Base64 in lines of 64, as bytes, which travel in base64 once more. */
  private static byte[] twice(byte[] bytes) {
    return Base64.getMimeEncoder(64, new byte[] {'\n'}).encode(bytes);
  }

  @Override
  public List<Certificate> findCerts(String username, boolean onlyValid) throws Faults.AuthorizationDenied, Faults.Ejbca {
    authorize();
    return registry.of(username).stream()
        .filter(entry -> !onlyValid || entry.reason < 0 && entry.certificate.getNotAfter().after(new Date()))
        .map(entry -> certificate(entry.certificate))
        .toList();
  }

  private static Certificate certificate(X509Certificate certificate) {
    try {
      return new Certificate(twice(certificate.getEncoded()));
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public List<Certificate> getLastCAChain(String caName)
      throws Faults.AuthorizationDenied, Faults.CADoesntExists, Faults.Ejbca {
    authorize();
    Authority ca = authorities.get(caName);
    if (ca == null) throw new Faults.CADoesntExists("CA_NOT_EXISTS", "CA with name " + caName + " does not exist");
    return ca.chain.stream().map(EjbcaService::certificate).toList();
  }

  @Override
  public void revokeCert(String issuerDN, String serial, int reason)
      throws Faults.AlreadyRevoked, Faults.Approval, Faults.AuthorizationDenied, Faults.CADoesntExists, Faults.Ejbca,
          Faults.NotFound, Faults.WaitingForApproval {
    authorize();
    if (behaviour.get().is("revocation approval")) throw new Faults.WaitingForApproval("Revocation of certificate has been added for approval", 7);
    Registry.Entry entry = registry.find(issuerDN, serial);
    if (entry == null) throw new Faults.NotFound(null, "Certificate with issuer: " + issuerDN + " and serial " + serial + " not found.");
    synchronized (entry) {
      if (entry.reason >= 0) throw new Faults.AlreadyRevoked(null, "Certificate with serial " + serial + " already revoked.");
      if (!Set.of(0, 1, 2, 3, 4, 5, 6, 8, 9, 10).contains(reason)) throw new Faults.Ejbca("INTERNAL_ERROR", "no reason " + reason);
      entry.reason = reason;
    }
  }

  @Override
  public boolean isAuthorized(String rule) throws Faults.Ejbca {
    if (!isAdministrator()) return false;
    String denied = behaviour.get().text("deny");
    if (!denied.isEmpty() && rule.startsWith(denied)) return false;
    // As EJBCA keeps them: CAs and profiles by number.
    if (rule.startsWith("/ca/")) return authorities.values().stream().anyMatch(ca -> rule.equals("/ca/" + ca.id));
    if (rule.startsWith("/endentityprofilesrules/"))
      return PROFILES.values().stream().anyMatch(profile -> rule.startsWith("/endentityprofilesrules/" + profile.id() + "/"));
    return true;
  }

  @Override
  public List<NameAndId> getAvailableCAs() throws Faults.AuthorizationDenied {
    authorize();
    return authorities.values().stream().map(ca -> new NameAndId(ca.name, ca.id)).toList();
  }

  @Override
  public List<NameAndId> getAuthorizedEndEntityProfiles() throws Faults.AuthorizationDenied {
    authorize();
    return PROFILES.entrySet().stream().map(each -> new NameAndId(each.getKey(), each.getValue().id())).toList();
  }

  @Override
  public List<NameAndId> getAvailableCertificateProfiles(int endEntityProfileId) throws Faults.AuthorizationDenied {
    authorize();
    return CERTIFICATE_PROFILES.keySet().stream().map(name -> new NameAndId(name, name.hashCode())).toList();
  }

  @Override
  public List<NameAndId> getAvailableCAsInProfile(int endEntityProfileId) throws Faults.AuthorizationDenied {
    return getAvailableCAs();
  }

  @Override
  public String getEjbcaVersion() {
    return "EJBCA 8.2.0.1 Community (double)";
  }
}
